"""grpccalls.py — the package grpcio from PyPI as a client and as its server: HTTP/2 alone, a BoringSSL of its own that exports nothing, roots of its own, names by c-ares.

  grpccalls.py serve LEAF         on a port of 127.0.0.1, which it prints; until its input ends, then how many calls there were
  grpccalls.py ask TARGET HOST    two questions and a stream to TARGET, whose certificate is for HOST; prints what it hears, or the code of what failed

Messages are bytes as they stand: no schema is needed."""
import concurrent.futures
import sys

import grpc

METHOD = "/google.ai.generativelanguage.v1beta.GenerativeService/"


class Model(grpc.GenericRpcHandler):
    calls = 0

    def service(self, details):
        Model.calls += 1
        if details.method.endswith("/StreamGenerateContent"):
            return grpc.unary_stream_rpc_method_handler(lambda request, _: (b"piece %d of %s" % (i, request) for i in range(3)))
        return grpc.unary_unary_rpc_method_handler(lambda request, _: b"answer to " + request)


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


def ask(target, host):
    options = [("grpc.ssl_target_name_override", host), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(), options) as channel:
        try:
            for i in range(2):
                print(channel.unary_unary(METHOD + "GenerateContent")(b"question %d" % i, timeout=30).decode())
            for piece in channel.unary_stream(METHOD + "StreamGenerateContent")(b"a story", timeout=30):
                print(piece.decode())
        except grpc.RpcError as e:
            print(e.code().name)


{"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
