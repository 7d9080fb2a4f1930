"""grpccalls.py — the package grpcio from PyPI as a client and as its server: HTTP/2 alone, a BoringSSL of its own that exports nothing, roots of its own, names by c-ares.

  grpccalls.py serve LEAF         on a port of 127.0.0.1, which it prints; until its input ends, then how many calls there were
  grpccalls.py ask TARGET HOST [WORD]   two questions, a stream and one that is refused to TARGET, whose certificate is for HOST; prints what it hears, or the code of what
                                  failed, its words and its trailers. WORD: the questions are about that. "wait": a stream that stops in its midst, then a question

Messages are bytes as they stand: no schema is needed."""
import concurrent.futures
import sys
import threading

import grpc

METHOD = "/google.ai.generativelanguage.v1beta.GenerativeService/"


class Model(grpc.GenericRpcHandler):
    calls = 0

    def service(self, details):
        Model.calls += 1
        if details.method.endswith("/StreamGenerateContent"):
            return grpc.unary_stream_rpc_method_handler(self.stream)
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def stream(self, request, context):
        left = threading.Event()
        context.add_callback(left.set)
        for i in range(3):
            yield b"piece %d of %s" % (i, request)
            if b"wait" in request:
                left.wait(60)

    def answer(self, request, context):
        if b"too much" in request:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "5"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "so many of you \u2713")
        return b"answer to " + request


def serve(leaf):
    pem = open(leaf, "rb").read()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Model(),))
    key, chain = pem.split(b"-----BEGIN CERTIFICATE-----", 1)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, b"-----BEGIN CERTIFICATE-----" + chain)]))
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None)
    print(Model.calls)


def heard(ask, tries=1):
    try:
        for said in ask():
            print(said.decode(), flush=True)
    except grpc.RpcError as e:
        if tries > 1 and e.code() == grpc.StatusCode.UNAVAILABLE:  # the connection that is just ending had been chosen for it
            return heard(ask, tries - 1)
        print(e.code().name, e.details() if e.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT) else "", dict(e.trailing_metadata() or ()), flush=True)


def ask(target, host, about="story"):
    options = [("grpc.ssl_target_name_override", host), ("grpc.enable_http_proxy", 0)]
    words = about.encode()
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(), options) as channel:
        one = lambda request: [channel.unary_unary(METHOD + "GenerateContent")(request, timeout=30, wait_for_ready=about == "wait")]
        many = lambda request: channel.unary_stream(METHOD + "StreamGenerateContent")(request, timeout=60)
        if about == "wait":
            heard(lambda: many(b"wait"))
            heard(lambda: one(b"and then"), tries=5)
            return
        for i in range(2):
            heard(lambda: one(b"question %d about a %s" % (i, words)))
        heard(lambda: many(b"a " + words))
        heard(lambda: one(b"too much about a " + words))


{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
