#include "spooled.h"
#include "control.h"
#include "gate.h"
#include "pids.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AWAIT_US = 150, WHOSE = 4096 };
#define ALWAYS UINT64_MAX

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool is_clean(const struct vcr_spooled *g, uint64_t begun)
{
	return __atomic_load_n(&g->h->clean, __ATOMIC_ACQUIRE) >= begun;
}

/* Who waits for what has just been appended to go on its way need not wait for the collector's wake-up too. One that has found already that the call that began
 * before `begun` follows no change is not hurried; ALWAYS: it is. */
static void ring_soon(struct vcr_spooled *g, uint64_t begun)
{
	g->to_ring = g->to_ring > begun ? g->to_ring : begun;
	event_active(g->ring, EV_TIMEOUT, 0);
}

static void ring_now(struct vcr_spooled *g)
{
	if (!is_clean(g, g->to_ring))
		vcr_spool_writer_ring(g->w);
	g->to_ring = 0;
}

static void on_ring(evutil_socket_t fd, short what, void *spooled)
{
	struct vcr_spooled *g = spooled;
	ring_now(g);
	vcr_spool_writer_prepare(g->w);
}

static int pid_of(const struct vcr_spooled *g, uint32_t conn)
{
	return g->whose[conn % WHOSE].conn == conn ? g->whose[conn % WHOSE].pid : g->h->root_pid;
}

/* Nothing is put into what passes as it is. Said once. */
static void say_relayed(struct vcr_spooled *g, const char *host)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	if (!g->reminded || g->relay_said || g->h->sentinel < VCR_SENTINEL_WARN)
		return;
	g->relay_said = true;
	vcr_buf_printf(&b, "HTTP/2 alone with %s: the sentinel tells the agent nothing there, and holds nothing up", host);
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = b.data, .n = b.len + 1 });
}

/* A program that was pointed here by variables is not known: its calls are the root's. */
static void on_open(void *ctx, uint32_t conn, bool tls, const char *host, int pid, bool relayed, uint64_t ns)
{
	struct vcr_spooled *g = ctx;
	char names[VCR_GATE_HOST + 2] = "";
	struct vcr_rec_conn c = { .kind = tls ? VCR_CONN_TLS : VCR_CONN_PLAIN, .fd = relayed ? VCR_CONN_RELAYED : VCR_CONN_BY_GATE };
	snprintf(names, VCR_GATE_HOST, "%s", host); /* and an empty peer behind it */
	g->whose[conn % WHOSE].conn = conn;
	g->whose[conn % WHOSE].end = 0;
	g->whose[conn % WHOSE].answered = false;
	g->whose[conn % WHOSE].ns = ns;
	g->whose[conn % WHOSE].pid = pid ? pid : g->h->root_pid;
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_CONN, .conn = conn, .pid = pid_of(g, conn), .time_ns = ns, .head = &c, .nhead = sizeof c,
		.data = names, .n = strlen(names) + 2 });
	g->whose[conn % WHOSE].begun = relayed ? ALWAYS : vcr_spool_writer_end(g->w);
	if (relayed)
		say_relayed(g, host);
	else
		vcr_spool_writer_ring(g->w); /* it looks whether anything has changed while the request is made ready */
}

static bool on_bytes(struct vcr_spooled *g, uint32_t type, uint32_t conn, const char *p, size_t n, uint64_t ns)
{
	if (!n || vcr_spool_writer_muted(g->w, conn))
		return false;
	return vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = type, .conn = conn, .pid = pid_of(g, conn), .time_ns = ns, .data = p, .n = n });
}

/* A gate that was started on need may be the first to see that there is something worth recording. */
static void begin_session(struct vcr_spooled *g)
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
	struct vcr_spooled *g = ctx;
	if (!on_bytes(g, VCR_REC_OUT, conn, p, n, ns))
		return;
	ring_soon(g, g->whose[conn % WHOSE].begun);
	if (__atomic_load_n(&g->h->collector, __ATOMIC_ACQUIRE) == VCR_COLLECTOR_NONE)
		begin_session(g);
	g->whose[conn % WHOSE].end = vcr_spool_writer_end(g->w);
	g->whose[conn % WHOSE].ns = ns;
	g->whose[conn % WHOSE].awaited = false;
}

/* The clock of a deterministic session, in the very microsecond that the session's file will give: when the request was made, and the time to the first byte. */
static void set_clock(struct vcr_spooled *g, uint32_t conn, uint64_t ns)
{
	uint64_t asked = g->whose[conn % WHOSE].ns;
	if (g->whose[conn % WHOSE].conn != conn || g->whose[conn % WHOSE].answered || ns < asked)
		return;
	g->whose[conn % WHOSE].answered = true;
	vcr_determ_answered(g->determ, (int64_t)((g->h->real_ns + (asked - g->h->mono_ns)) / 1000 + (ns - asked) / 1000));
}

static void on_in(void *ctx, uint32_t conn, const char *p, size_t n, uint64_t ns)
{
	struct vcr_spooled *g = ctx;
	if (g->determ)
		set_clock(g, conn, ns);
	on_bytes(ctx, VCR_REC_IN, conn, p, n, ns);
}

static void on_close(void *ctx, uint32_t conn, int reason, uint64_t ns)
{
	struct vcr_spooled *g = ctx;
	int32_t why = reason;
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_CLOSE, .conn = conn, .pid = pid_of(g, conn), .time_ns = ns, .data = &why, .n = sizeof why });
	ring_soon(g, ALWAYS);
}

/* Until the collector has the savepoint of that call: the program, which waits for the answer, has changed nothing meanwhile. Mostly that takes less than to be
 * asked again, so it is awaited a moment here, once for each call. */
static bool is_held(void *ctx, uint32_t conn)
{
	struct vcr_spooled *g = ctx;
	uint64_t acted = __atomic_load_n(&g->h->acted, __ATOMIC_ACQUIRE), end = g->whose[conn % WHOSE].conn == conn ? g->whose[conn % WHOSE].end : 0;
	uint64_t begun = g->whose[conn % WHOSE].begun;
	if (!end || acted >= end || is_clean(g, begun) || (g->gave_up && acted == g->gave_up))
		return false;
	if (!g->whose[conn % WHOSE].awaited) {
		g->whose[conn % WHOSE].awaited = true;
		ring_now(g);
		vcr_spool_await(g->h, begun, end, AWAIT_US);
		if ((acted = __atomic_load_n(&g->h->acted, __ATOMIC_ACQUIRE)) >= end || is_clean(g, begun))
			return false;
	}
	if (now_ns() < g->whose[conn % WHOSE].ns + VCR_HOLD_MS * 1000000ull)
		return true;
	g->gave_up = acted;
	return false;
}

/* What was put into a request is said before its answer can come. */
static enum vcr_forward_way way(void *ctx, uint32_t conn, const struct vcr_gate_request *q, struct vcr_buf *body)
{
	struct vcr_spooled *g = ctx;
	VCR_AUTO_BUF told = VCR_BUF_INIT;
	bool known = g->whose[conn % WHOSE].conn == conn && g->whose[conn % WHOSE].end;
	if (!g->reminded || !known)
		return VCR_FORWARD_AS_IT_IS;
	enum vcr_forward_way way = vcr_reminded_way(g->reminded, q, g->whose[conn % WHOSE].begun, g->whose[conn % WHOSE].ns, body, &told);
	if (told.len && !told.err)
		vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_TOLD, .conn = conn, .pid = pid_of(g, conn), .time_ns = now_ns(), .data = told.data, .n = told.len });
	if (vcr_reminded_stops(g->reminded) && vcr_pids_root(g->h) > 1)
		kill(vcr_pids_root(g->h), SIGTERM);
	return way;
}

/* The turns in one are asked nothing: where blockers are to stand it has no place. Said once. */
static bool no_socket(void *ctx, const struct vcr_gate_request *q)
{
	struct vcr_spooled *g = ctx;
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	bool refused = g->h->sentinel >= VCR_SENTINEL_BLOCK;
	if (!g->reminded || g->h->sentinel < VCR_SENTINEL_WARN)
		return false;
	if (!g->socket_said) {
		vcr_buf_printf(&b, refused ? "a WebSocket to %s was refused (426): under --sentinel=block the model is asked by HTTP alone" :
			"a WebSocket to %s: the sentinel tells the agent nothing there", q->host);
		vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = b.data, .n = b.len + 1 });
	}
	g->socket_said = true;
	return refused;
}

static uint32_t next_conn(void *ctx)
{
	return vcr_spool_writer_conn(((struct vcr_spooled *)ctx)->w);
}

static void on_trouble(void *ctx, const char *host, const char *words)
{
	struct vcr_spooled *g = ctx;
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	__atomic_fetch_add(&g->h->gate.troubles, 1, __ATOMIC_RELAXED);
	if (!words)
		return;
	vcr_buf_printf(&b, "the gate could not reach %s: %s", host, words);
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = b.data, .n = b.len + 1 });
}

static void on_distrusted(void *ctx, const char *host, int pid)
{
	struct vcr_spooled *g = ctx;
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_buf_printf(&b, "process %d does not accept the run's certificate for %s: its connections are tunnelled from now on, and not recorded; it may read SSL_CERT_FILE or a "
		"setting of its own", pid, host);
	vcr_spool_writer_append(g->w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = b.data, .n = b.len + 1 });
}

/* ---- The module ---- */

void vcr_spooled_passes(struct vcr_spooled *g, struct vcr_forward_options *o)
{
	static const struct vcr_forward_sink sink = { on_open, on_out, on_in, on_close, on_trouble, on_distrusted };
	o->sink = &sink;
	o->ctx = g;
	o->next_conn = next_conn;
	o->held = is_held;
	o->way = way;
	o->no_socket = no_socket;
}

int vcr_spooled_open(struct vcr_spooled *g, const char *spool, struct vcr_error *e)
{
	g->spool = spool;
	int err = vcr_spool_writer_new(&g->w, spool, e);
	if (!err)
		g->h = vcr_spool_writer_header(g->w);
	g->determ = err ? NULL : vcr_determ_open(spool);
	return err;
}

int vcr_spooled_start(struct vcr_spooled *g, struct event_base *base, struct vcr_error *e)
{
	g->ring = event_new(base, -1, 0, on_ring, g);
	g->whose = calloc(WHOSE, sizeof *g->whose);
	return g->ring && g->whose ? 0 : vcr_error_set(e, VCR_ENOMEM, "out of memory");
}

void vcr_spooled_stop(struct vcr_spooled *g)
{
	if (g->ring)
		event_free(g->ring);
	g->ring = NULL;
}

void vcr_spooled_release(struct vcr_spooled *g)
{
	vcr_spooled_stop(g);
	free(g->whose);
	vcr_spool_writer_free(g->w);
	vcr_determ_close(g->determ);
	*g = (struct vcr_spooled){ 0 };
}
