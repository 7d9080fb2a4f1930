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
#include "pids.h"
#include "provider.h"
#include "spooled.h"
#include "spool.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_LISTENER = 3, TOKEN_BYTES = 16, MOST_WAYS = 64, LOOK_MS = 200, NAMED = 16 };

struct gate {
	const char *spool, *cacert, *connect_to[MOST_WAYS + 1];
	int nconnect_to;
	bool untapped_only, inherits, fenced;
	struct vcr_spooled spooled;
	struct vcr_spool_header *h;
	struct vcr_config config;
	const char **hosts;
	char token[2 * TOKEN_BYTES + 1];
	struct event_base *base;
	struct vcr_ca *ca;
	struct vcr_forward *forward;
	struct vcr_gate *gate;
	struct named { int pid; char program[64]; } named[NAMED]; /* whose connections came last */
	unsigned next_named;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Who trusts the certificate ---- */

/* A process waits for the handshake, and may be gone when it is known how that went: its program is noted where that may be asked for. */
static enum vcr_gate_meant on_meant(void *ctx, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid)
{
	struct gate *g = ctx;
	enum vcr_gate_meant m = vcr_lead_meant(g->h, peer, host, pid);
	char link[40], exe[4096];
	if ((m != VCR_MEANT_HOST && m != VCR_MEANT_ADDRESS) || !g->h->gate.late[0])
		return m;
	struct named *n = &g->named[g->next_named++ % NAMED];
	n->pid = *pid;
	snprintf(link, sizeof link, "/proc/%d/exe", (int)vcr_pids_outside(g->h->pid_ns, vcr_pids_root(g->h), *pid));
	ssize_t k = readlink(link, exe, sizeof exe - 1);
	exe[k > 0 ? k : 0] = 0;
	const char *slash = strrchr(exe, '/');
	snprintf(n->program, sizeof n->program, "%.60s", slash && slash[1] ? slash + 1 : "a program");
	return m;
}

static void on_spoke(void *ctx, int pid)
{
	struct gate *g = ctx;
	vcr_lead_spoke(g->h, pid);
}

static const char *program_of(const struct gate *g, int pid)
{
	for (int i = 0; i < NAMED; i++)
		if (pid && g->named[i].pid == pid)
			return g->named[i].program;
	return "a program";
}

/* Of a program that was led in the midst of its run: what it refuses has cost it one connection, and will cost no other. */
static bool on_judged(void *ctx, const char *host, const char *sni, int pid, bool trusted)
{
	struct gate *g = ctx;
	VCR_AUTO_BUF named = VCR_BUF_INIT;
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_buf_printf(&named, "%s%s", sni, strrchr(host, ':'));
	bool news = false, late = vcr_lead_judged(g->h, host, trusted, &news);
	late |= vcr_lead_judged(g->h, named.data, trusted, &news);
	if (!late || !news || trusted)
		return late;
	vcr_buf_printf(&b, "calls of %s to %s, because it trusts its own certificates only: they go directly again", program_of(g, pid), *sni ? sni : host);
	vcr_spool_writer_append(g->spooled.w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = pid ? pid : g->h->root_pid, .time_ns = now_ns(), .data = b.data, .n = b.len + 1 });
	vcr_spool_writer_ring(g->spooled.w);
	return true;
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
	vcr_spool_writer_append(g->spooled.w, &(struct vcr_spool_append){ .type = VCR_REC_LOST, .pid = g->h->root_pid, .time_ns = now_ns(), .data = words, .n = sizeof words });
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
	struct vcr_forward_options fo = { .base = g->base, .connect_to = g->connect_to, .cacert = g->cacert };
	vcr_spooled_passes(&g->spooled, &fo);
	if (g->h->sentinel >= VCR_SENTINEL_WARN && vcr_reminded_new(&g->spooled.reminded, g->spool, g->h, g->hosts))
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	int port = take_over(g), err = port ? 0 : make_token(g, e);
	if (!err)
		err = vcr_forward_new(&g->forward, &fo, e);
	int listeners[VCR_GATE_LISTENERS];
	for (int i = 0; i < VCR_GATE_LISTENERS; i++)
		listeners[i] = g->inherits && fcntl(FIRST_LISTENER + i, F_SETFD, FD_CLOEXEC) == 0 ? FIRST_LISTENER + i : -1;
	struct vcr_gate_options go = { .listeners = g->inherits ? listeners : NULL,
		 .base = g->base, .ca = g->ca, .token = g->token, .port = port, .handler = &vcr_forward_handler, .ctx = g->forward,
		.meant = on_meant, .meant_ctx = g, .spoke = on_spoke, .judged = on_judged, .judged_ctx = g };
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
	int err = vcr_spooled_open(&g->spooled, g->spool, e);
	if (err)
		return err;
	g->h = g->spooled.h;
	vcr_lead_announce(g->h);
	snprintf(dir, sizeof dir, "%.*s", (int)sizeof dir - 1, g->h->vcr_dir);
	g->base = new_base();
	if (!g->base)
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	if ((err = vcr_spooled_start(&g->spooled, g->base, e)) || (err = vcr_config_load(&g->config, dir, e)) || (err = take_config(g, e)) || (err = gather_hosts(g, e)) || (err = make_ca(g, &bundle, &extra, e)) || (err = make_gate(g, e)))
		return err;
	struct vcr_lead_options o = { .replay = g->fenced, .port = vcr_gate_port(g->gate), .v6 = vcr_gate_has_v6(g->gate), .untapped_only = g->untapped_only, .token = g->token,
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
	if (runs(g->h->collector_pid) || runs(vcr_pids_root(g->h)) || vcr_spool_is_written(g->spool))
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
	vcr_spooled_stop(&g->spooled);
	if (g->base)
		event_base_free(g->base);
	vcr_config_release(&g->config);
	vcr_reminded_free(g->spooled.reminded);
	free(g->hosts);
	vcr_spooled_release(&g->spooled);
}

static void usage(FILE *to)
{
	fputs("usage: vcr-gate --spool PATH [--untapped] [--fenced] [--inherit] [--connect-to HOST1:PORT1:HOST2:PORT2]... [--cacert FILE]\n"
	      "\n"
	      "The gate of a recording. Started by vcr-record --lane=gate; there is no need to start it by hand.\n"
	      "\n"
	      "  --spool PATH      the session's spool, in the runtime directory\n"
	      "  --untapped        for programs only whose plaintext cannot be tapped\n"
	      "  --fenced          nothing of the session reaches another machine but by the gate\n"
	      "  --inherit         listen on the descriptors from 3 on, which vcr-record --sealed has made elsewhere\n"
	      "  --connect-to ...  connect to HOST2:PORT2 where HOST1:PORT1 is asked for, as curl does\n"
	      "  --cacert FILE     whom the gate trusts, instead of the system's roots\n"
	      "  --help, --version\n", to);
}

/* 0 go on; else exit status + 1. */
static int parse(int argc, char **argv, struct gate *g)
{
	static const struct option options[] = {
		{ "spool", required_argument, NULL, 's' }, { "untapped", no_argument, NULL, 'u' }, { "inherit", no_argument, NULL, 'i' }, { "fenced", no_argument, NULL, 'f' }, { "connect-to", required_argument, NULL, 'c' },
		{ "cacert", required_argument, NULL, 'a' }, { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'v' }, { 0 },
	};
	int opt;
	while ((opt = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (opt) {
		case 's': g->spool = optarg; break;
		case 'u': g->untapped_only = true; break;
		case 'i': g->inherits = true; break;
		case 'f': g->fenced = true; break;
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
	signal(SIGXFSZ, SIG_IGN); /* a bare preload starts us with the program's limit on files */
	umask(077);
	int err = prepare(&g, &e);
	if (err)
		fprintf(stderr, "vcr-gate: %s\n", *e.what ? e.what : vcr_strerror(err));
	else
		serve(&g);
	release(&g);
	return err ? 3 : 0;
}
