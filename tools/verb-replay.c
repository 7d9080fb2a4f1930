/* vcr replay — answer a program's model calls from a recording, with nothing going to the network.
 *
 * Alone it serves until it is interrupted. With a command it serves for as long as that runs: the gate is bound first, the command is forked and
 * waits, the gate's loop gets a thread of its own, and this thread is the command's parent as run.h describes. */
#include "context.h"
#include "control.h"
#include "fence.h"
#include "ledger.h"
#include "limits.h"
#include "open.h"
#include "options.h"
#include "paths.h"
#include "point.h"
#include "preload.h"
#include "refused.h"
#include "replay.h"
#include "run.h"
#include "session.h"
#include "verbs.h"
#include "words.h"
#include "../lib/config.h"
#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_REPLAY = 125, TOKEN_BYTES = 16, MOST_STEPS = 8 /* from a replay's own session to what was replayed */ };

struct replay {
	struct vcr_tool *t;
	const char *speed, *match, *repeat, *faults;
	bool repeat_last, skip_faults;
	int64_t port;
	char *const *command;       /* NULL: none */
	struct vcr_reader *reader;
	struct vcr_config config;
	struct vcr_context recorded, here;
	struct vcr_buf vcr_dir, bundle, extra;
	char **hosts;               /* NULL-terminated: known, configured, recorded */
	size_t nhosts, known;
	char token[2 * TOKEN_BYTES + 1];
	struct event_base *base;
	struct vcr_ca *ca;
	struct vcr_gate *gate;
	struct vcr_replay *replay;
	int stop[2];                /* a byte ends the loop */
	struct vcr_session *own;    /* the replay's own session: divergences only, made with the first */
	char own_id[32];
	bool own_failed;
	int64_t served, cut_short, missed_calls, missed_sides;
	struct vcr_refused refused;
	struct vcr_fence fence;     /* around the command */
	struct vcr_run run;
};

/* ---- What happens, as it happens ---- */

static void say_json(const struct replay *r, const char *event, const char *method, const char *target, int64_t frame, const char *words)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	const struct { const char *key, *s; } strings[] = { { "event", event }, { "method", method }, { "path", target }, { "words", words } };
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	for (size_t i = 0; i < 4; i++)
		if (strings[i].s) {
			vcr_jw_key(&w, strings[i].key);
			vcr_jw_str(&w, strings[i].s);
		}
	if (frame >= 0) {
		vcr_jw_key(&w, "frame");
		vcr_jw_int(&w, frame);
	}
	vcr_jw_object_end(&w);
	FILE *to = r->command ? stderr : stdout; /* stdout is the command's */
	fprintf(to, "%s\n", b.data);
	fflush(to);
}

static bool own_session(struct replay *r)
{
	VCR_AUTO_BUF meta = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct vcr_jw w;
	if (r->own || r->own_failed)
		return r->own != NULL;
	const char *of = vcr_reader_header(r->reader)->session_id;
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "replay_of");
	vcr_jw_str(&w, of);
	vcr_jw_object_end(&w);
	vcr_paths_new_session_id(r->own_id);
	struct vcr_session_options o = { .session_id = r->own_id, .parent_session_id = of, .forked_from_frame = -1, .metadata_json = meta.data,
		.tags = (const char *const[]){ "replay", NULL } };
	if (vcr_session_create(&r->own, r->vcr_dir.data, &o, &e)) {
		vcr_say(r->t, "the divergence is not written down: %s", e.what);
		r->own = NULL;
		r->own_failed = true;
	}
	return r->own != NULL;
}

static void write_request(struct vcr_jw *w, const struct vcr_replay_event *ev)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_jw_object(w);
	vcr_jw_key(w, "method");
	vcr_jw_str(w, ev->method);
	vcr_jw_key(w, "host");
	vcr_jw_str(w, ev->host);
	vcr_jw_key(w, "path");
	vcr_jw_str(w, ev->target);
	vcr_jw_key(w, "request");
	if (ev->nbody && !vcr_json_parse(&j, ev->body, ev->nbody, 0, NULL))
		vcr_jw_value(w, &j, 0);
	else
		vcr_jw_strn(w, ev->body, ev->nbody);
	vcr_jw_object_end(w);
}

static void write_divergence(struct vcr_jw *w, const struct vcr_replay_event *ev)
{
	static const char *const kinds[] = { "place", "query", "body", "spent" };
	const struct vcr_divergence *d = ev->divergence;
	vcr_jw_object(w);
	vcr_jw_key(w, "divergence");
	vcr_jw_object(w);
	vcr_jw_key(w, "kind");
	vcr_jw_str(w, kinds[d->kind]);
	vcr_jw_key(w, "nearest_frame");
	if (d->nearest && d->nearest->frame >= 0)
		vcr_jw_int(w, d->nearest->frame);
	else
		vcr_jw_null(w);
	if (d->kind == VCR_MISS_BODY || d->kind == VCR_MISS_QUERY) {
		const struct { const char *key; const struct vcr_buf *b; } texts[] = { { "pointer", &d->pointer }, { "recorded", &d->recorded }, { "now", &d->live } };
		for (size_t i = 0; i < 3; i++) {
			vcr_jw_key(w, texts[i].key);
			vcr_jw_strn(w, texts[i].b->data, texts[i].b->len);
		}
		vcr_jw_key(w, "common_items");
		vcr_jw_int(w, (int64_t)d->common);
	}
	vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

static void write_miss(struct replay *r, const struct vcr_replay_event *ev)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct vcr_jw w;
	if (!own_session(r))
		return;
	vcr_jw_init(&w, &in);
	write_request(&w, ev);
	vcr_jw_init(&w, &out);
	write_divergence(&w, ev);
	struct vcr_frame f = { .type = VCR_FRAME_ERROR, .node_name = "replay:divergence", .input_json = in.data, .output_json = out.data, .tokens_in = -1, .tokens_out = -1,
		.tokens_total = -1, .cost_usd = -1, .error_type = "replay_miss", .error_message = ev->words };
	if (vcr_session_add_frame(r->own, &f, NULL, &e))
		vcr_say(r->t, "the divergence is not written down: %s", e.what);
}

static void on_miss(struct replay *r, const struct vcr_replay_event *ev)
{
	bool call = ev->api != VCR_API_SIDE;
	++*(call ? &r->missed_calls : &r->missed_sides);
	if (r->t->json)
		say_json(r, call ? "missed" : "missed_side", ev->method, ev->target, -1, ev->words);
	else if (call || r->t->verbose)
		vcr_say(r->t, "%s", ev->words);
	if (call)
		write_miss(r, ev);
}

static void on_refused(struct replay *r, const struct vcr_replay_event *ev)
{
	vcr_refused_add(&r->refused, ev->host, 0);
	r->refused.times++;
	if (r->t->json)
		say_json(r, "refused", ev->method, ev->host, -1, NULL);
}

/* What the library refused in the command's own processes, once for each of them and each place. */
static void on_fenced(void *ctx, const char *where, uint32_t kind)
{
	struct replay *r = ctx;
	vcr_refused_add(&r->refused, where, kind);
	if (r->t->json)
		say_json(r, "refused", vcr_refused_word(kind), where, -1, NULL);
}

static void on_event(void *ctx, const struct vcr_replay_event *ev)
{
	struct replay *r = ctx;
	switch (ev->what) {
	case VCR_REPLAY_MISSED: on_miss(r, ev); break;
	case VCR_REPLAY_REFUSED: on_refused(r, ev); break;
	case VCR_REPLAY_CUT_SHORT: r->cut_short++; break;
	case VCR_REPLAY_SERVED:
		r->served++;
		if (r->t->json && !r->t->quiet)
			say_json(r, "served", ev->call->method, ev->call->path, ev->call->frame, vcr_rung_name(ev->rung));
		else if (r->t->verbose)
			vcr_say(r->t, "%s %s: frame %lld (%s)", ev->call->method, ev->call->path, (long long)ev->call->frame, vcr_rung_name(ev->rung));
	}
}

/* ---- Hosts: those that are known, those that the user named, those that the recording spoke to ---- */

static int add_host(struct replay *r, const char *host)
{
	for (size_t i = 0; i < r->nhosts; i++)
		if (!strcmp(r->hosts[i], host))
			return 0;
	char **more = realloc(r->hosts, (r->nhosts + 2) * sizeof *more);
	if (!more)
		return VCR_ENOMEM;
	r->hosts = more;
	r->hosts[r->nhosts] = strdup(host);
	r->hosts[r->nhosts + 1] = NULL;
	return r->hosts[r->nhosts] ? (r->nhosts++, 0) : VCR_ENOMEM;
}

static int gather_hosts(struct replay *r)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	int err = 0;
	for (const char *const *h = vcr_api_model_hosts(); *h && !err; h++)
		err = add_host(r, *h);
	for (char **h = r->config.model_hosts; *h && !err; h++)
		err = add_host(r, *h);
	r->known = r->nhosts;
	for (size_t i = 0; i < vcr_match_count(m) && !err; i++)
		err = add_host(r, vcr_match_call(m, i)->host);
	return err;
}

/* ---- Making ---- */

static int choose_match(struct replay *r, enum vcr_rung *rung)
{
	*rung = VCR_RUNG_NORMALISED;
	if (!r->match)
		return 0;
	for (*rung = VCR_RUNG_EXACT; *rung <= VCR_RUNG_NORMALISED; ++*rung)
		if (!strcmp(r->match, vcr_rung_name(*rung)))
			return 0;
	return vcr_wrong_call(r->t, "--match wants exact, canonical or normalised, not '%s'", r->match);
}

/* Of two words the second; neither is a wrong call. */
static int choose_word(struct replay *r, const char *option, const char *said, const char *first, const char *second, bool *is_second)
{
	*is_second = said && !strcmp(said, second);
	return !said || *is_second || !strcmp(said, first) ? 0 : vcr_wrong_call(r->t, "--%s wants %s or %s, not '%s'", option, first, second, said);
}

static int choose_speed(struct replay *r, double *speed)
{
	char *end;
	*speed = r->speed ? strtod(r->speed, &end) : 0;
	if (r->speed && (*end || end == r->speed || !(*speed >= 0) || *speed > 1e6))
		return vcr_wrong_call(r->t, "--speed wants 0 (at once), 1 (as recorded) or how many times faster, not '%s'", r->speed);
	return 0;
}

static int make_replay(struct replay *r, enum vcr_rung rung, double speed, struct vcr_error *e)
{
	int err = vcr_context_recorded(&r->recorded, r->reader, e);
	if (err)
		return err;
	vcr_context_here(&r->here);
	struct vcr_replay_options o = { .base = r->base, .reader = r->reader, .model_hosts = (const char *const *)r->config.model_hosts, .speed = speed, .environ = environ,
		.report = on_event, .ctx = r, .match = { .rung = rung, .repeat = r->repeat_last ? VCR_REPEAT_LAST : r->command ? VCR_REPEAT_NONE : VCR_REPEAT_ANEW, .skip_faults = r->skip_faults, .recorded = vcr_context_normal(&r->recorded), .live = vcr_context_normal(&r->here) } };
	return vcr_replay_new(&r->replay, &o, e);
}

static int make_ca(struct replay *r, struct vcr_error *e)
{
	VCR_AUTO_BUF base = VCR_BUF_INIT;
	int err = vcr_paths_runtime_dir(&base, e);
	vcr_buf_printf(&base, "/replay-%d", (int)getpid());
	struct vcr_ca_options o = { .base = base.data, .hosts = (const char *const *)r->hosts };
	if (err || (err = vcr_ca_open(&r->ca, &o, e)))
		return err;
	return vcr_ca_bundles(r->ca, &r->bundle, &r->extra, e);
}

static int make_gate(struct replay *r, struct vcr_error *e)
{
	unsigned char random[TOKEN_BYTES];
	if (RAND_bytes(random, sizeof random) != 1)
		return vcr_error_set(e, VCR_EIO, "no random numbers are to be had");
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(r->token + 2 * i, 3, "%02x", random[i]);
	struct vcr_gate_options o = { .base = r->base, .ca = r->ca, .token = r->token, .port = (int)r->port, .handler = &vcr_replay_handler, .ctx = r->replay,
		.meant = r->fence.h ? vcr_lead_meant : NULL, .meant_ctx = r->fence.h };
	return vcr_gate_new(&r->gate, &o, e);
}

/* Without the library the command is only pointed here by variables, which it may not heed. */
static void make_fence(struct replay *r)
{
	struct vcr_error e = { 0 };
	if (!r->command || !vcr_fence_make(&r->fence, r->vcr_dir.data, &e))
		return;
	vcr_say(r->t, "the command is pointed here by variables alone, and not kept from the network: %s", e.what);
	vcr_fence_release(&r->fence);
}

static int prepare(struct replay *r, enum vcr_rung rung, double speed)
{
	struct vcr_error e = { 0 };
	int err = vcr_config_load(&r->config, r->vcr_dir.data, &e);
	if (!err && !(r->base = event_base_new()))
		err = vcr_error_set(&e, VCR_ENOMEM, "out of memory");
	if (!err)
		err = make_replay(r, rung, speed, &e);
	if (!err && gather_hosts(r))
		err = vcr_error_set(&e, VCR_ENOMEM, "out of memory");
	if (!err)
		err = make_ca(r, &e);
	if (!err)
		make_fence(r);
	if (!err)
		err = make_gate(r, &e);
	if (err) {
		vcr_say(r->t, "%s", *e.what ? e.what : vcr_strerror(err));
		return r->command ? EXIT_REPLAY : VCR_EXIT_FAILED;
	}
	return 0;
}

static void point_of(const struct replay *r, struct vcr_point *p)
{
	*p = (struct vcr_point){ vcr_gate_port(r->gate), r->token, r->bundle.data, r->extra.data, (const char *const *)r->hosts + r->known };
}

/* ---- The end ---- */

static int write_member(void *writer, const char *name, const char *value)
{
	vcr_jw_key(writer, name);
	vcr_jw_str(writer, value);
	return 0;
}

static int64_t calls_of(const struct replay *r, int64_t *asked)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	int64_t n = 0;
	*asked = 0;
	for (size_t i = 0; i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		n += c->frame >= 0;
		*asked += c->frame >= 0 && c->given;
	}
	return n;
}

static void make_ledger(const struct replay *r, struct vcr_ledger *l)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	struct vcr_reader_frame f;
	for (size_t i = 0; i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		if (c->frame < 0 || !c->given || vcr_reader_frame(r->reader, c->frame, &f, NULL))
			continue;
		vcr_ledger_add(l, &f, c->given);
		l->replay.ms += (double)c->took_us / 1000;
	}
}

/* Recorded model calls that nobody asked for, as far as they can be listed. */
static void say_unused(const struct replay *r)
{
	enum { MOST = 10 };
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_match *m = vcr_replay_match(r->replay);
	size_t n = 0;
	for (size_t i = 0; i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		if (c->frame >= 0 && !c->given && ++n <= MOST)
			vcr_buf_printf(&b, "%s%lld", n > 1 ? ", " : "", (long long)c->frame);
	}
	if (n)
		vcr_say(r->t, "never asked for: frame%s %s%s   (vcr-show says what is in one)", n == 1 ? "" : "s", b.data, n > MOST ? " and others" : "");
}

static void write_unused(const struct replay *r, struct vcr_jw *w)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	vcr_jw_array(w);
	for (size_t i = 0; i < vcr_match_count(m); i++)
		if (vcr_match_call(m, i)->frame >= 0 && !vcr_match_call(m, i)->given)
			vcr_jw_int(w, vcr_match_call(m, i)->frame);
	vcr_jw_array_end(w);
}

/* How the answers were found. */
static void write_rungs(const struct replay *r, struct vcr_jw *w)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	struct vcr_match_stats s;
	vcr_match_stats(vcr_replay_match(r->replay), &s);
	vcr_jw_object(w);
	for (int i = VCR_RUNG_EXACT; i <= VCR_RUNG_NORMALISED; i++) {
		vcr_jw_key(w, vcr_rung_name((enum vcr_rung)i));
		vcr_jw_int(w, s.by_rung[i]);
	}
	vcr_jw_key(w, "missed");
	vcr_jw_int(w, r->missed_calls + r->missed_sides);
	vcr_normal_names(&names);
	write_member(w, "normalisers", names.data);
	vcr_jw_object_end(w);
}

static void say_rungs(const struct replay *r)
{
	struct vcr_match_stats s;
	vcr_match_stats(vcr_replay_match(r->replay), &s);
	if (s.by_rung[VCR_RUNG_CANONICAL] || s.by_rung[VCR_RUNG_NORMALISED])
		vcr_say(r->t, "%lld requests were the same to the byte, %lld in what they say, %lld but for dates, numbers and names that differ from run to run (-v tells which)",
			(long long)s.by_rung[VCR_RUNG_EXACT], (long long)s.by_rung[VCR_RUNG_CANONICAL], (long long)s.by_rung[VCR_RUNG_NORMALISED]);
}

static void say_ledger(const struct replay *r)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_ledger l = { 0 };
	struct vcr_jw w;
	make_ledger(r, &l);
	if (r->t->json) {
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		write_member(&w, "event", "ledger");
		vcr_jw_key(&w, "ledger");
		vcr_ledger_write(&l, &w);
		vcr_jw_key(&w, "rungs");
		write_rungs(r, &w);
		vcr_jw_key(&w, "unused");
		write_unused(r, &w);
		vcr_jw_object_end(&w);
		fprintf(r->command ? stderr : stdout, "%s\n", b.data);
	} else if (l.replayed && !r->t->quiet) {
		vcr_words_ledger(&b, &l);
		vcr_say(r->t, "%s", b.data);
	}
}

static void summary(struct replay *r)
{
	VCR_AUTO_BUF refused = VCR_BUF_INIT;
	int64_t asked, calls = calls_of(r, &asked);
	struct vcr_gate_stats gs;
	vcr_gate_stats(r->gate, &gs);
	if (!r->t->quiet) {
		vcr_say(r->t, "%lld of %lld recorded model calls were asked for, %lld missed%s", (long long)asked, (long long)calls, (long long)r->missed_calls,
			r->missed_calls ? "" : "; nothing went to the network");
		say_rungs(r);
		if (asked)
			say_unused(r);
		if (r->missed_sides)
			vcr_say(r->t, "%lld other requests to model hosts were not in the recording (-v names them)", (long long)r->missed_sides);
		if (gs.refused)
			vcr_say(r->t, "%llu requests did not show the run's token and were refused", (unsigned long long)gs.refused);
	}
	say_ledger(r);
	vcr_refused_say(&r->refused, &refused);
	if (refused.len)
		vcr_say(r->t, "%s", refused.data);
	if (!r->own)
		return;
	char path[VCR_MAX_PATH];
	snprintf(path, sizeof path, "%s", vcr_session_path(r->own));
	vcr_session_end(r->own, NULL, NULL);
	r->own = NULL;
	vcr_say(r->t, "where it diverged is in session %s   (vcr-log %s)", r->own_id, r->own_id);
}

/* ---- Serving alone ---- */

static void on_signal(evutil_socket_t sig, short what, void *base)
{
	event_base_loopbreak(base);
}

static void announce_json(const struct replay *r, const struct vcr_point *p)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	VCR_AUTO_BUF url = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_point_base_url(p, "HOST", true, &url);
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	write_member(&w, "event", "ready");
	write_member(&w, "session", vcr_reader_header(r->reader)->session_id);
	vcr_jw_key(&w, "port");
	vcr_jw_int(&w, p->port);
	write_member(&w, "token", p->token);
	write_member(&w, "ca", vcr_ca_path(r->ca));
	write_member(&w, "base_url", url.data);
	vcr_jw_key(&w, "environment");
	vcr_jw_object(&w);
	vcr_point_each(p, write_member, &w);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	printf("%s\n", b.data);
	fflush(stdout);
}

static void announce(const struct replay *r)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT, name = VCR_BUF_INIT;
	struct vcr_point p;
	int64_t asked, calls = calls_of(r, &asked);
	const char *id = vcr_reader_header(r->reader)->session_id;
	point_of(r, &p);
	if (r->t->json) {
		announce_json(r, &p);
		return;
	}
	vcr_safe(&name, id, strlen(id), 0);
	printf("Session %s, %lld model call%s, is served on 127.0.0.1:%d; nothing goes to the network.\n", name.data, (long long)calls, calls == 1 ? "" : "s", p.port);
	vcr_point_words(&p, &words);
	printf("%s\nInterrupt ends it.\n", words.data);
	fflush(stdout);
}

static int serve_alone(struct replay *r)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct event *ev[3];
	for (int i = 0; i < 3; i++)
		if ((ev[i] = evsignal_new(r->base, signals[i], on_signal, r->base)))
			event_add(ev[i], NULL);
	announce(r);
	event_base_dispatch(r->base);
	for (int i = 0; i < 3; i++)
		if (ev[i])
			event_free(ev[i]);
	summary(r);
	return r->missed_calls ? VCR_EXIT_NO : VCR_EXIT_YES;
}

/* ---- Serving a command ---- */

static int put(void *ctx, const char *name, const char *value)
{
	return setenv(name, value, 1);
}

static void on_stop(evutil_socket_t fd, short what, void *base)
{
	event_base_loopbreak(base);
}

static void *loop(void *replay)
{
	struct replay *r = replay;
	event_base_dispatch(r->base);
	return NULL;
}

static int raise_fence(struct replay *r)
{
	struct vcr_error e = { 0 };
	struct vcr_lead_options o = { .port = vcr_gate_port(r->gate), .v6 = vcr_gate_has_v6(r->gate), .replay = true, .token = r->token, .ca = vcr_ca_path(r->ca),
		.bundle = r->bundle.data, .extra = r->extra.data, .hosts = (const char *const *)r->hosts };
	int err = r->fence.h ? vcr_fence_publish(&r->fence, &o, r->run.pid, &e) : 0;
	if (err)
		vcr_say(r->t, "%s", e.what);
	return err == VCR_ELIMIT ? 0 : err;
}

/* Fork the command, then start the loop's thread, then let the command go. */
static int run_command(struct replay *r)
{
	struct vcr_error e = { 0 };
	struct vcr_point p;
	pthread_t thread;
	int status = 0;
	point_of(r, &p);
	if (pipe(r->stop) || vcr_point_each(&p, put, NULL) || vcr_run_fork(&r->run, r->command, &e)) {
		vcr_say(r->t, "%s", *e.what ? e.what : strerror(errno));
		return EXIT_REPLAY;
	}
	struct event *stop = event_new(r->base, r->stop[0], EV_READ, on_stop, r->base);
	if (raise_fence(r) || !stop || event_add(stop, NULL) || pthread_create(&thread, NULL, loop, r)) {
		vcr_say(r->t, "the gate cannot be started; the command is not run");
		kill(r->run.pid, SIGKILL);
		return EXIT_REPLAY;
	}
	r->run.notes = "/dev/null";
	vcr_run_start(&r->run, r->fence.h ? r->fence.preload.data : NULL, r->fence.spool, vcr_preload_target(r->command[0]), r->fence.h ? &r->fence.h->gate : NULL);
	int lost = vcr_run_wait(&r->run, &status);
	if (write(r->stop[1], "", 1) == 1)
		pthread_join(thread, NULL);
	event_free(stop);
	if (lost) {
		vcr_say(r->t, "lost sight of the command: %s", strerror(errno));
		return EXIT_REPLAY;
	}
	r->refused.times += vcr_fence_refusals(&r->fence, on_fenced, r);
	summary(r);
	if (r->missed_calls && WIFEXITED(status) && !WEXITSTATUS(status))
		return VCR_EXIT_NO;
	return status ? -1 - status : 0; /* the caller ends as the command did, when all is put away */
}

static void release(struct replay *r)
{
	vcr_gate_free(r->gate);
	vcr_fence_release(&r->fence); /* the gate asks it */
	vcr_replay_free(r->replay);
	if (r->ca)
		vcr_ca_remove(r->ca);
	vcr_ca_free(r->ca);
	if (r->base)
		event_base_free(r->base);
	vcr_reader_free(r->reader);
	vcr_config_release(&r->config);
	vcr_context_release(&r->recorded);
	vcr_context_release(&r->here);
	for (size_t i = 0; i < r->nhosts; i++)
		free(r->hosts[i]);
	free(r->hosts);
	for (int i = 0; i < 2; i++)
		if (r->stop[i] >= 0)
			close(r->stop[i]);
	vcr_buf_release(&r->vcr_dir);
	vcr_buf_release(&r->bundle);
	vcr_buf_release(&r->extra);
	vcr_refused_release(&r->refused);
}

/* A session that a replay wrote, of where it diverged, stands for the recording that was replayed. */
static int open_recording(struct replay *r, const char *session)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	int status = vcr_tool_open_session(r->t, session, &r->reader, &path);
	for (int steps = 0; !status && steps < MOST_STEPS; steps++) {
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		const struct vcr_reader_session *s = vcr_reader_header(r->reader);
		if (vcr_json_parse(&j, s->metadata_json, strlen(s->metadata_json), 0, NULL) || vcr_json_get(&j, 0, "replay_of") < 0)
			return 0;
		char *of = vcr_json_strdup(&j, vcr_json_get(&j, 0, "replay_of"));
		if (!of || !*of || strchr(of, '/')) {
			free(of);
			return 0;
		}
		if (r->t->verbose)
			vcr_say(r->t, "session %s is what a replay of %s wrote down: that one is replayed", s->session_id, of);
		vcr_buf_reset(&path);
		vcr_tool_close(&r->reader);
		status = vcr_tool_open_session(r->t, of, &r->reader, &path);
		free(of);
	}
	return status;
}

static int replay(struct replay *r, const char *session)
{
	struct vcr_error e = { 0 };
	enum vcr_rung rung;
	double speed;
	int status;
	if ((status = choose_match(r, &rung)) || (status = choose_speed(r, &speed)) || (status = choose_word(r, "repeat", r->repeat, "recorded", "last", &r->repeat_last)) ||
	    (status = choose_word(r, "faults", r->faults, "replay", "skip", &r->skip_faults)))
		return status;
	if (r->port > 65535)
		return vcr_wrong_call(r->t, "--port wants a number below 65536");
	if (vcr_tool_dir(r->t, &r->vcr_dir, &e))
		return vcr_failed(r->t, &e);
	if ((status = open_recording(r, session)) || (status = prepare(r, rung, speed)))
		return status;
	signal(SIGPIPE, SIG_IGN);
	return r->command ? run_command(r) : serve_alone(r);
}

int vcr_verb_replay(struct vcr_tool *t, int argc, char **argv)
{
	struct replay r = { .t = t, .fence = { .preload = VCR_BUF_INIT }, .vcr_dir = VCR_BUF_INIT, .bundle = VCR_BUF_INIT, .extra = VCR_BUF_INIT, .stop = { -1, -1 } };
	const struct vcr_opt opts[] = {
		{ 's', "speed", "N", VCR_OPT_STRING, &r.speed, "0: at once (default), 1: as it came, N: that many times faster" },
		{ 'm', "match", "RUNG", VCR_OPT_STRING, &r.match, "exact, canonical, normalised (default): how far a request may differ" },
		{ 0, "repeat", "HOW", VCR_OPT_STRING, &r.repeat, "recorded (default): each answer as often as it was given; last: the last one ever again" },
		{ 0, "faults", "HOW", VCR_OPT_STRING, &r.faults, "replay (default): calls that failed fail again; skip: as if they had not been made" },
		{ 'p', "port", "N", VCR_OPT_NUMBER, &r.port, "listen on this port, not on any that is free" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION] [-- COMMAND [ARGUMENT]...]",
		"Answer model calls from a recording, offline: those of COMMAND, or of any program that is pointed here.", opts, false };
	char **command = NULL;
	int front = vcr_split_command(argc, argv, &command), status, n = vcr_options_parse(t, &u, front, argv, &status);
	if (n < 0)
		return status;
	if (command && !*command)
		return vcr_wrong_call(t, "which command? vcr-replay [SESSION] -- COMMAND");
	if (n > 1)
		return vcr_wrong_call(t, "one session at a time; a command stands behind --: vcr-replay %s -- %s ...", argv[0], argv[1]);
	r.command = command;
	status = replay(&r, n ? argv[0] : NULL);
	release(&r);
	return status < 0 ? vcr_run_exit(&r.run, -1 - status) : status;
}
