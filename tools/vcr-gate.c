/* vcr-gate.c — the gate of a recording: connections to model hosts are led to it (spool-format.h), go on to the real hosts with libcurl, and what
 * passes is in the session's spool before it is delivered. Started by vcr-record --lane=gate; ends with the session's collector. See vcr-gate(8).
 *
 * A process of its own: libcurl and OpenSSL cost a collector 8 ms at its start, and when one of both dies the other goes on. */
#include "config.h" /* PACKAGE_VERSION */
#include "../lib/config.h"
#include "control.h"
#include "forward.h"
#include "lead.h"
#include "paths.h"
#include "provider.h"
#include "spool-write.h"
#include "spool.h"
#include <errno.h>
#include <getopt.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TOKEN_BYTES = 16, MOST_WAYS = 64, LOOK_MS = 200, AWAIT_US = 150 };

struct gate {
	const char *spool, *cacert, *connect_to[MOST_WAYS + 1];
	int nconnect_to;
	bool untapped_only;
	struct vcr_spool_writer *w;
	struct vcr_spool_header *h;
	struct vcr_config config;
	const char **hosts;
	char token[2 * TOKEN_BYTES + 1];
	struct event_base *base;
	struct event *ring;
	struct vcr_ca *ca;
	struct vcr_forward *forward;
	struct vcr_gate *gate;
	struct { uint32_t conn; int pid; uint64_t end, ns; bool awaited; } *whose; /* by conn % WHOSE; end, ns: of the request in the spool */
	uint64_t gave_up;       /* `acted` when an answer had been held long enough: nobody looks */
};
enum { WHOSE = 4096 };

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- What passes ---- */

/* Who waits for what has just been appended to go on its way need not wait for the collector's wake-up too. */
static void ring_soon(struct gate *g)
{
	event_active(g->ring, EV_TIMEOUT, 0);
}

static void on_ring(evutil_socket_t fd, short what, void *gate)
{
	struct gate *g = gate;
	vcr_spool_writer_ring(g->w);
	vcr_spool_writer_prepare(g->w);
}

static int pid_of(const struct gate *g, uint32_t conn)
{
	return g->whose[conn % WHOSE].conn == conn ? g->whose[conn % WHOSE].pid : g->h->root_pid;
}

/* A program that was pointed here by variables is not known: its calls are the root's. */
static void on_open(void *ctx, uint32_t conn, bool tls, const char *host, int pid, uint64_t ns)
{
	struct gate *g = ctx;
	char names[VCR_GATE_HOST + 2] = "";
	struct vcr_rec_conn c = { .kind = tls ? VCR_CONN_TLS : VCR_CONN_PLAIN, .fd = VCR_CONN_BY_GATE };
	snprintf(names, VCR_GATE_HOST, "%s", host); /* and an empty peer behind it */
	g->whose[conn % WHOSE].conn = conn;
	g->whose[conn % WHOSE].end = 0;
	g->whose[conn % WHOSE].pid = pid ? pid : g->h->root_pid;
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_CONN, .conn = conn, .pid = pid_of(g, conn), .time_ns = ns, .head = &c, .nhead = sizeof c,
		.data = names, .n = strlen(names) + 2 });
}

static bool on_bytes(struct gate *g, uint32_t type, uint32_t conn, const char *p, size_t n, uint64_t ns)
{
	if (!n || vcr_spool_writer_muted(g->w, conn))
		return false;
	return vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = type, .conn = conn, .pid = pid_of(g, conn), .time_ns = ns, .data = p, .n = n });
}

/* A gate that was started on need may be the first to see that there is something worth recording. */
static void begin_session(struct gate *g)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT;
	uint32_t none = VCR_COLLECTOR_NONE;
	pid_t pid;
	if (g->h->flags & VCR_SPOOL_BY_RECORD || !__atomic_compare_exchange_n(&g->h->collector, &none, VCR_COLLECTOR_STARTING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&g->h->wanted, 1, __ATOMIC_RELEASE);
	char *argv[] = { NULL, "--spool", (char *)g->spool, NULL };
	int err = vcr_control_collector_path(&program, NULL);
	argv[0] = program.data;
	if (err || vcr_control_spawn(argv, -1, &pid, NULL))
		__atomic_store_n(&g->h->collector, VCR_COLLECTOR_NONE, __ATOMIC_RELEASE);
}

static void on_out(void *ctx, uint32_t conn, const char *p, size_t n, uint64_t ns)
{
	struct gate *g = ctx;
	if (!on_bytes(g, VCR_REC_OUT, conn, p, n, ns))
		return;
	ring_soon(g);
	if (__atomic_load_n(&g->h->collector, __ATOMIC_ACQUIRE) == VCR_COLLECTOR_NONE)
		begin_session(g);
	g->whose[conn % WHOSE].end = vcr_spool_writer_end(g->w);
	g->whose[conn % WHOSE].ns = ns;
	g->whose[conn % WHOSE].awaited = false;
}

static void on_in(void *ctx, uint32_t conn, const char *p, size_t n, uint64_t ns)
{
	on_bytes(ctx, VCR_REC_IN, conn, p, n, ns);
}

static void on_close(void *ctx, uint32_t conn, int reason, uint64_t ns)
{
	struct gate *g = ctx;
	int32_t why = reason;
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_CLOSE, .conn = conn, .pid = pid_of(g, conn), .time_ns = ns, .data = &why, .n = sizeof why });
	ring_soon(g);
}

/* Until the collector has the savepoint of that call: the program, which waits for the answer, has changed nothing meanwhile. Mostly that takes less than to be
 * asked again, so it is awaited a moment here, once for each call. */
static bool is_held(void *ctx, uint32_t conn)
{
	struct gate *g = ctx;
	uint64_t acted = __atomic_load_n(&g->h->acted, __ATOMIC_ACQUIRE), end = g->whose[conn % WHOSE].conn == conn ? g->whose[conn % WHOSE].end : 0;
	if (!end || acted >= end || (g->gave_up && acted == g->gave_up))
		return false;
	if (!g->whose[conn % WHOSE].awaited) {
		g->whose[conn % WHOSE].awaited = true;
		vcr_spool_await(g->h, end, AWAIT_US);
		if ((acted = __atomic_load_n(&g->h->acted, __ATOMIC_ACQUIRE)) >= end)
			return false;
	}
	if (now_ns() < g->whose[conn % WHOSE].ns + VCR_HOLD_MS * 1000000ull)
		return true;
	g->gave_up = acted;
	return false;
}

static uint32_t next_conn(void *ctx)
{
	return vcr_spool_writer_conn(((struct gate *)ctx)->w);
}

static void on_trouble(void *ctx, const char *host, const char *words)
{
	struct gate *g = ctx;
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_buf_printf(&b, "the gate could not reach %s: %s", host, words);
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = b.data, .n = b.len + 1 });
}

static void on_distrusted(void *ctx, const char *host, int pid)
{
	struct gate *g = ctx;
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_buf_printf(&b, "process %d does not accept the run's certificate for %s: its connections are tunnelled from now on, and not recorded; it may read SSL_CERT_FILE or a "
		"setting of its own", pid, host);
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = b.data, .n = b.len + 1 });
}

/* ---- Beginning ---- */

/* What the command line does not say. */
static int take_config(struct gate *g, struct vcr_error *e)
{
	for (char **way = g->config.connect_to; *way; way++) { /* curl takes the first that fits */
		if (g->nconnect_to == MOST_WAYS)
			return vcr_error_set(e, VCR_ELIMIT, "more than %d connect-to", MOST_WAYS);
		g->connect_to[g->nconnect_to++] = *way;
	}
	if (!g->cacert)
		g->cacert = g->config.cacert;
	return 0;
}

static int gather_hosts(struct gate *g, struct vcr_error *e)
{
	size_t n = 0, k = 0;
	for (const char *const *h = vcr_api_model_hosts(); *h; h++)
		n++;
	for (char **h = g->config.model_hosts; *h; h++)
		n++;
	if (!(g->hosts = calloc(n + 1, sizeof *g->hosts)))
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	for (char **h = g->config.model_hosts; *h; h++)
		g->hosts[k++] = *h;
	for (const char *const *h = vcr_api_model_hosts(); *h; h++)
		g->hosts[k++] = *h;
	return 0;
}

/* BASE.ca.pem and so on beside the spool: a gate that takes over finds the key. */
static int make_ca(struct gate *g, struct vcr_buf *bundle, struct vcr_buf *extra, struct vcr_error *e)
{
	VCR_AUTO_BUF base = VCR_BUF_INIT;
	vcr_buf_add(&base, g->spool, strlen(g->spool) - strlen(".spool"));
	struct vcr_ca_options o = { .base = base.data, .hosts = g->hosts };
	int err = vcr_ca_open(&g->ca, &o, e);
	return err ? err : vcr_ca_bundles(g->ca, bundle, extra, e);
}

/* One before us has died: programs that were lent it know its port and token. 0: there was none. */
static int take_over(struct gate *g)
{
	static const char words[] = "the gate has died and another has taken its place: calls in flight were cut";
	const struct vcr_lead_block *b = &g->h->gate;
	if (!b->port || b->port > 65535 || strnlen(b->token, sizeof b->token) != 2 * TOKEN_BYTES)
		return 0;
	memcpy(g->token, b->token, 2 * TOKEN_BYTES);
	if (strspn(g->token, "0123456789abcdef") != 2 * TOKEN_BYTES)
		return 0;
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = words, .n = sizeof words });
	return (int)b->port;
}

static int make_token(struct gate *g, struct vcr_error *e)
{
	unsigned char random[TOKEN_BYTES];
	if (RAND_bytes(random, sizeof random) != 1)
		return vcr_error_set(e, VCR_EIO, "no random numbers are to be had");
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(g->token + 2 * i, 3, "%02x", random[i]);
	return 0;
}

static int make_gate(struct gate *g, struct vcr_error *e)
{
	static const struct vcr_forward_sink sink = { on_open, on_out, on_in, on_close, on_trouble, on_distrusted };
	struct vcr_forward_options fo = { .base = g->base, .connect_to = g->connect_to, .cacert = g->cacert, .sink = &sink, .ctx = g, .next_conn = next_conn, .held = is_held };
	int port = take_over(g), err = port ? 0 : make_token(g, e);
	if (!err)
		err = vcr_forward_new(&g->forward, &fo, e);
	struct vcr_gate_options go = { .base = g->base, .ca = g->ca, .token = g->token, .port = port, .handler = &vcr_forward_handler, .ctx = g->forward,
		.meant = vcr_lead_meant, .meant_ctx = g->h };
	return err ? err : vcr_gate_new(&g->gate, &go, e);
}

/* A held answer is looked after in parts of a millisecond, which epoll's own timeout does not know. */
static struct event_base *new_base(void)
{
	struct event_config *c = event_config_new();
	if (!c)
		return NULL;
	event_config_set_flag(c, EVENT_BASE_FLAG_PRECISE_TIMER);
	struct event_base *base = event_base_new_with_config(c);
	event_config_free(c);
	return base;
}

static int prepare(struct gate *g, struct vcr_error *e)
{
	VCR_AUTO_BUF bundle = VCR_BUF_INIT, extra = VCR_BUF_INIT;
	char dir[sizeof g->h->vcr_dir];
	int err = vcr_spool_writer_new(&g->w, g->spool, e);
	if (err)
		return err;
	g->h = vcr_spool_writer_header(g->w);
	vcr_lead_announce(g->h);
	snprintf(dir, sizeof dir, "%.*s", (int)sizeof dir - 1, g->h->vcr_dir);
	g->base = new_base();
	g->ring = g->base ? event_new(g->base, -1, 0, on_ring, g) : NULL;
	g->whose = calloc(WHOSE, sizeof *g->whose);
	if (!g->ring || !g->whose)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	if ((err = vcr_config_load(&g->config, dir, e)) || (err = take_config(g, e)) || (err = gather_hosts(g, e)) || (err = make_ca(g, &bundle, &extra, e)) || (err = make_gate(g, e)))
		return err;
	struct vcr_lead_options o = { .port = vcr_gate_port(g->gate), .v6 = vcr_gate_has_v6(g->gate), .untapped_only = g->untapped_only, .token = g->token,
		.ca = vcr_ca_path(g->ca), .bundle = bundle.data, .extra = extra.data, .hosts = g->hosts };
	err = vcr_lead_publish(g->h, &o, e);
	return err == VCR_ELIMIT ? 0 : err;
}

/* ---- End ---- */

static bool runs(int pid)
{
	return pid > 0 && (!kill(pid, 0) || errno == EPERM);
}

/* Nobody who could say that the session is over, nor anybody who still is of it. One in which nothing was worth recording leaves no spool. */
static bool is_left_alone(const struct gate *g)
{
	if (runs(g->h->collector_pid) || runs(g->h->root_pid) || vcr_spool_is_written(g->spool))
		return false;
	if (!__atomic_load_n(&g->h->wanted, __ATOMIC_ACQUIRE) && __atomic_load_n(&g->h->collector, __ATOMIC_ACQUIRE) == VCR_COLLECTOR_NONE)
		unlink(g->spool);
	return true;
}

static void look(evutil_socket_t fd, short what, void *gate)
{
	struct gate *g = gate;
	struct stat st;
	bool ended = __atomic_load_n(&g->h->collector, __ATOMIC_ACQUIRE) == VCR_COLLECTOR_ENDED;
	if (ended || stat(g->spool, &st) || is_left_alone(g))
		event_base_loopbreak(g->base);
}

static void on_signal(evutil_socket_t sig, short what, void *base)
{
	event_base_loopbreak(base);
}

static void serve(struct gate *g)
{
	struct timeval every = { 0, LOOK_MS * 1000 };
	struct event *timer = event_new(g->base, -1, EV_PERSIST, look, g), *term = evsignal_new(g->base, SIGTERM, on_signal, g->base);
	if (timer && term && !event_add(timer, &every) && !event_add(term, NULL))
		event_base_dispatch(g->base);
	if (timer)
		event_free(timer);
	if (term)
		event_free(term);
}

static void release(struct gate *g)
{
	if (g->gate)
		vcr_lead_retract(g->h);
	vcr_gate_free(g->gate);
	vcr_forward_free(g->forward);
	if (g->ca)
		vcr_ca_remove(g->ca);
	vcr_ca_free(g->ca);
	if (g->ring)
		event_free(g->ring);
	if (g->base)
		event_base_free(g->base);
	vcr_config_release(&g->config);
	free(g->hosts);
	free(g->whose);
	vcr_spool_writer_free(g->w);
}

static void usage(FILE *to)
{
	fputs("usage: vcr-gate --spool PATH [--untapped] [--connect-to HOST1:PORT1:HOST2:PORT2]... [--cacert FILE]\n"
	      "\n"
	      "The gate of a recording. Started by vcr-record --lane=gate; there is no need to start it by hand.\n"
	      "\n"
	      "  --spool PATH      the session's spool, in the runtime directory\n"
	      "  --untapped        for programs only whose plaintext cannot be tapped\n"
	      "  --connect-to ...  connect to HOST2:PORT2 where HOST1:PORT1 is asked for, as curl does\n"
	      "  --cacert FILE     whom the gate trusts, instead of the system's roots\n"
	      "  --help, --version\n", to);
}

/* 0 go on; else exit status + 1. */
static int parse(int argc, char **argv, struct gate *g)
{
	static const struct option options[] = {
		{ "spool", required_argument, NULL, 's' }, { "untapped", no_argument, NULL, 'u' }, { "connect-to", required_argument, NULL, 'c' },
		{ "cacert", required_argument, NULL, 'a' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 },
	};
	int opt;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (opt) {
		case 's': g->spool = optarg; break;
		case 'u': g->untapped_only = true; break;
		case 'c':
			if (g->nconnect_to < MOST_WAYS)
				g->connect_to[g->nconnect_to++] = optarg;
			break;
		case 'a': g->cacert = optarg; break;
		case 'h': usage(stdout); return 1;
		case 'v': puts("vcr-gate " PACKAGE_VERSION); return 1;
		default: return 3;
		}
	}
	size_t n = g->spool ? strlen(g->spool) : 0;
	if (n > strlen(".spool") && !strcmp(g->spool + n - strlen(".spool"), ".spool") && optind == argc)
		return 0;
	fputs("vcr-gate: give --spool PATH; see --help\n", stderr);
	return 3;
}

int main(int argc, char **argv)
{
	struct gate g = { 0 };
	struct vcr_error e = { 0 };
	int status = parse(argc, argv, &g);
	if (status)
		return status - 1;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	umask(077);
	int err = prepare(&g, &e);
	if (err)
		fprintf(stderr, "vcr-gate: %s\n", *e.what ? e.what : vcr_strerror(err));
	else
		serve(&g);
	release(&g);
	return err ? 3 : 0;
}
