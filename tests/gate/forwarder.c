/* forwarder CA-BASE CACERT|- [--held N] [--connect-to C]... HOST... — a gate that records, for tests/gate/forward.t: says where it listens, then each
 * call that flow makes of what the sink was shown, a line of JSON each (bodies up to 4 KiB). --held: the first N times that it is asked about a call
 * its answer is still to be held. A request that says [[wait]], [[instead]] or [[no]] goes on its way like that. Ends with its standard input. */
#include "flow.h"
#include "forward.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char token[] = "0123456789abcdef0123456789abcdef";
static struct vcr_flow *flow;
static uint32_t held_conn;
static int held_times, held_asked;

static void on_open(void *ctx, uint32_t conn, bool tls, const char *host, int pid, bool relayed, uint64_t ns)
{
	vcr_flow_open(flow, conn, 1, tls, host, "", ns);
}

static void on_out(void *ctx, uint32_t conn, const char *p, size_t n, uint64_t ns)
{
	vcr_flow_out(flow, conn, 1, 1, p, n, ns);
}

static void on_in(void *ctx, uint32_t conn, const char *p, size_t n, uint64_t ns)
{
	vcr_flow_in(flow, conn, p, n, ns);
}

static void on_close(void *ctx, uint32_t conn, int reason, uint64_t ns)
{
	vcr_flow_close(flow, conn, reason, ns);
}

static void say(struct vcr_buf *b)
{
	printf("%s\n", b->data);
	fflush(stdout);
}

static void on_trouble(void *ctx, const char *host, const char *words)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "trouble");
	vcr_jw_str(&w, words ? words : "");
	vcr_jw_key(&w, "host");
	vcr_jw_str(&w, host);
	vcr_jw_object_end(&w);
	say(&b);
}

static void bytes(struct vcr_jw *w, const char *key, const char *p, size_t n)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_buf_base64(&b, p, n < 4096 ? n : 4096); /* the reader may be waiting for something else */
	vcr_jw_key(w, key);
	vcr_jw_str(w, b.data);
}

static void fields(struct vcr_jw *w, const char *key, const struct vcr_http1_field *f, size_t n)
{
	vcr_jw_key(w, key);
	vcr_jw_array(w);
	for (size_t i = 0; i < n; i++) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		vcr_buf_printf(&b, "%s: %s", f[i].name, f[i].value);
		vcr_jw_str(w, b.data);
	}
	vcr_jw_array_end(w);
}

static int on_call(void *ctx, const struct vcr_call *c)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	const struct { const char *key, *s; } strings[] = { { "method", c->method }, { "target", c->target }, { "host", c->host }, { "failure", c->failure } };
	for (size_t i = 0; i < 4; i++) {
		vcr_jw_key(&w, strings[i].key);
		vcr_jw_str(&w, strings[i].s);
	}
	vcr_jw_key(&w, "status");
	vcr_jw_int(&w, c->status);
	vcr_jw_key(&w, "chunks");
	vcr_jw_int(&w, (int64_t)c->nchunk);
	bytes(&w, "request", c->req_body, c->nreq_body);
	bytes(&w, "response", c->res_body, c->nres_body);
	fields(&w, "fields", c->req_field, c->nreq_field);
	fields(&w, "answer_fields", c->res_field, c->nres_field);
	vcr_jw_object_end(&w);
	say(&b);
	return 0;
}

static bool is_held(void *ctx, uint32_t conn)
{
	if (held_conn != conn)
		held_asked = 0;
	held_conn = conn;
	return held_asked++ < held_times;
}

/* A request's text says how it goes on its way. */
static enum vcr_forward_way way(void *ctx, uint32_t conn, const struct vcr_gate_request *q, struct vcr_buf *body)
{
	static uint32_t waits_conn;
	static int asked;
	if (waits_conn != conn)
		asked = 0;
	waits_conn = conn;
	if (q->nbody && memmem(q->body, q->nbody, "[[wait]]", 8) && asked++ < 20)
		return VCR_FORWARD_WAIT;
	if (q->nbody && memmem(q->body, q->nbody, "[[no]]", 6)) {
		vcr_buf_puts(body, "{\"error\":\"no\"}");
		return VCR_FORWARD_ANSWERED;
	}
	if (!q->nbody || !memmem(q->body, q->nbody, "[[instead]]", 11))
		return VCR_FORWARD_AS_IT_IS;
	vcr_buf_puts(body, "and more: ");
	vcr_buf_add(body, q->body, q->nbody);
	return VCR_FORWARD_INSTEAD;
}

static void on_stdin(evutil_socket_t fd, short what, void *base)
{
	event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
	static const struct vcr_forward_sink sink = { on_open, on_out, on_in, on_close, on_trouble, NULL };
	static const struct vcr_flow_events events = { .call = on_call };
	const char *connect_to[16] = { NULL }, *hosts[16] = { NULL };
	struct vcr_error e = { 0 };
	struct vcr_ca *ca;
	struct vcr_forward *f;
	struct vcr_gate *g;
	int nc = 0, nh = 0;
	if (argc < 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	for (int i = 3; i < argc && nc < 15 && nh < 15; i++)
		if (!strcmp(argv[i], "--connect-to") && i + 1 < argc)
			connect_to[nc++] = argv[++i];
		else if (!strcmp(argv[i], "--held") && i + 1 < argc)
			held_times = atoi(argv[++i]);
		else
			hosts[nh++] = argv[i];
	struct event_base *base = event_base_new();
	struct vcr_ca_options co = { .base = argv[1], .hosts = hosts };
	struct vcr_forward_options fo = { .base = base, .connect_to = connect_to, .cacert = strcmp(argv[2], "-") ? argv[2] : NULL, .sink = &sink, .held = is_held, .way = way };
	flow = vcr_flow_new(&events, NULL, hosts, true);
	if (vcr_ca_open(&ca, &co, &e) || vcr_forward_new(&f, &fo, &e)) {
		fprintf(stderr, "%s\n", e.what);
		return 3;
	}
	struct vcr_gate_options go = { .base = base, .ca = ca, .token = token, .handler = &vcr_forward_handler, .ctx = f };
	if (vcr_gate_new(&g, &go, &e)) {
		fprintf(stderr, "%s\n", e.what);
		return 3;
	}
	struct event *end = event_new(base, 0, EV_READ, on_stdin, base);
	event_add(end, NULL);
	printf("{\"port\":%d,\"token\":\"%s\",\"ca\":\"%s\"}\n", vcr_gate_port(g), token, vcr_ca_path(ca));
	fflush(stdout);
	event_base_dispatch(base);
	event_free(end);
	vcr_gate_free(g);
	vcr_forward_free(f);
	vcr_flow_free(flow);
	vcr_ca_remove(ca);
	vcr_ca_free(ca);
	event_base_free(base);
	return 0;
}
