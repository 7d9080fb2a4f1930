/* vcr replay — answer a program's model calls from a recording, with nothing going to the network.
 *
 * Alone it serves until it is interrupted. With a command it serves for as long as that runs: the gate is bound first, the command is forked and
 * waits, the gate's loop gets a thread of its own, and this thread is the command's parent as run.h describes. */
#include "control.h"
#include "hermetic.h"
#include "agent.h"
#include "chain.h"
#include "open.h"
#include "options.h"
#include "outsider.h"
#include "paths.h"
#include "point.h"
#include "preload.h"
#include "replaying.h"
#include "verbs.h"
#include "words.h"
#include <errno.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_REPLAY = 125 };

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

static int choose_rung(struct replay *r, enum vcr_rung *rung)
{
	*rung = VCR_RUNG_NORMALISED;
	if (!r->strict)
		return 0;
	for (*rung = VCR_RUNG_EXACT; *rung <= VCR_RUNG_STRUCTURAL; ++*rung)
		if (!strcmp(r->strict, vcr_rung_name(*rung)))
			return 0;
	return vcr_wrong_call(r->t, "--strict wants exact, canonical, normalised or structural, not '%s'", r->strict);
}

static int choose_mode(struct replay *r)
{
	static const char *const words[] = { "none", "once", "new-episodes", "all", "rewrite" };
	for (int i = 0; r->mode_word; i++) {
		if (i == 5)
			return vcr_wrong_call(r->t, "--mode wants none, once, new-episodes, all or rewrite, not '%s'", r->mode_word);
		r->mode = (enum vcr_replay_mode)i;
		if (!strcmp(r->mode_word, words[i]))
			break;
	}
	return 0;
}

/* What is to become of calls that were recorded long ago. */
enum expired { EXPIRED_WARN, EXPIRED_ERROR, EXPIRED_RECORD };

static int choose_expired(struct replay *r, enum expired *expired)
{
	static const char *const words[] = { "warn", "error", "record" };
	*expired = EXPIRED_WARN;
	for (int i = 0; r->expired_word; i++) {
		if (i == 3)
			return vcr_wrong_call(r->t, "--expired wants warn, error or record, not '%s'", r->expired_word);
		*expired = (enum expired)i;
		if (!strcmp(r->expired_word, words[i]))
			break;
	}
	if (r->expired_word && !r->expire_days)
		return vcr_wrong_call(r->t, "--expired says what becomes of calls that are older than --expire=DAYS, which is not given");
	if (*expired == EXPIRED_RECORD && r->mode != VCR_MODE_NEW_EPISODES)
		return vcr_wrong_call(r->t, "--expired=record goes online for what is too old: it wants --mode=new-episodes");
	return 0;
}

static int64_t expires_ns(const struct replay *r)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return r->expire_days ? ((int64_t)t.tv_sec - r->expire_days * 86400) * 1000000000 : 0;
}

/* Status: may it go on? */
static int look_at_age(const struct replay *r, enum expired expired)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	VCR_AUTO_BUF when = VCR_BUF_INIT;
	int64_t n = 0, oldest = 0, limit = expires_ns(r);
	for (size_t i = 0; limit && i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		if (c->frame < 0 || !c->time_ns || c->time_ns >= limit)
			continue;
		n++;
		oldest = !oldest || c->time_ns < oldest ? c->time_ns : oldest;
	}
	if (!n)
		return 0;
	vcr_words_time(&when, oldest, "%Y-%m-%d");
	vcr_say(r->t, "%lld recorded model call%s older than %lld days, the oldest of %s%s", (long long)n, n == 1 ? " is" : "s are", (long long)r->expire_days, when.data,
		expired == EXPIRED_ERROR ? "; --mode=rewrite records anew" : "");
	return expired == EXPIRED_ERROR ? (r->command ? EXIT_REPLAY : VCR_EXIT_FAILED) : 0;
}

/* What of the recording nothing can be answered from. */
static void tell_unusable(const struct replay *r)
{
	VCR_AUTO_BUF safe = VCR_BUF_INIT;
	struct vcr_match *m = vcr_replay_match(r->replay);
	struct vcr_match_stats s;
	vcr_match_stats(m, &s);
	if (!s.unusable || r->t->quiet)
		return;
	vcr_safe_line(&safe, vcr_match_unusable(m), strlen(vcr_match_unusable(m)), 400);
	vcr_say(r->t, "%lld recorded model call%s cannot be replayed, the first: %s", (long long)s.unusable, s.unusable == 1 ? "" : "s", safe.data);
}

/* Another program, or another version of it, may ask otherwise. */
static void compare_agents(const struct replay *r)
{
	VCR_AUTO_BUF then = VCR_BUF_INIT, now = VCR_BUF_INIT, safe = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	const char *metadata = r->reader ? vcr_reader_header(r->reader)->metadata_json : "";
	if (!r->command || r->t->quiet || vcr_json_parse(&j, metadata, strlen(metadata), 0, NULL) || vcr_json_str(&j, vcr_json_get(&j, 0, "agent"), &then) || !then.len ||
	    vcr_agent_identity(r->command, &now) || !now.len || !strcmp(then.data, now.data))
		return;
	vcr_safe_line(&safe, then.data, then.len, 200);
	vcr_say(r->t, "recorded of another program, or another version of it: %s; this is %s", safe.data, now.data);
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

static int make_replay(struct replay *r, enum vcr_rung rung, double speed, enum expired expired, struct vcr_error *e)
{
	int err = r->reader ? vcr_context_recorded(&r->recorded, r->reader, e) : 0;
	for (size_t i = 0; i < r->nbefore && !err; i++) {
		err = vcr_context_recorded(&r->before_in[i], r->before[i].reader, e);
		r->before[i].recorded = vcr_context_normal(&r->before_in[i]);
		r->before[i].recorded.user = r->normalisers;
	}
	if (err)
		return err;
	vcr_context_here(&r->here);
	struct vcr_normal_context recorded = vcr_context_normal(&r->recorded), live = vcr_context_normal(&r->here);
	recorded.user = live.user = r->normalisers;
	struct vcr_replay_options o = { .base = r->base, .reader = r->reader, .model_hosts = (const char *const *)r->config.model_hosts, .speed = speed, .environ = environ,
		.report = vcr_replay_event, .ctx = r, .live = r->online ? &vcr_forward_handler : NULL, .live_ctx = r->live.forward,
		.match = { .rung = rung, .began = r->deterministic, .before = r->before, .nbefore = r->nbefore, .not_before_ns = expired == EXPIRED_RECORD ? expires_ns(r) : 0, .nothing = r->online && r->mode != VCR_MODE_NEW_EPISODES, .repeat = r->repeat_last ? VCR_REPEAT_LAST : r->command ? VCR_REPEAT_NONE : VCR_REPEAT_ANEW, .skip_faults = r->skip_faults, .recorded = recorded, .live = live } };
	return vcr_replay_new(&r->replay, &o, e);
}

/* The certificates are looked at with the command's clock. 0: it is the machine's. */
static int64_t first_day(const struct replay *r)
{
	enum { DAY = 86400 };
	int64_t start = r->terms.start_us / 1000000, now = time(NULL);
	return r->deterministic ? (start < now ? start : now) - DAY : 0;
}

static int make_ca(struct replay *r, struct vcr_error *e)
{
	VCR_AUTO_BUF base = VCR_BUF_INIT;
	int err = vcr_paths_runtime_dir(&base, e);
	vcr_buf_printf(&base, "/replay-%d", (int)getpid());
	struct vcr_ca_options o = { .base = base.data, .hosts = (const char *const *)r->hosts, .not_before = first_day(r) };
	if (err || (err = vcr_ca_open(&r->ca, &o, e)))
		return err;
	return vcr_ca_bundles(r->ca, &r->bundle, &r->extra, e);
}

static int make_gate(struct replay *r, struct vcr_error *e)
{
	unsigned char random[VCR_REPLAY_TOKEN];
	if (RAND_bytes(random, sizeof random) != 1)
		return vcr_error_set(e, VCR_EIO, "no random numbers are to be had");
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(r->token + 2 * i, 3, "%02x", random[i]);
	struct vcr_gate_options o = { .listeners = r->seal ? r->sealed.listener : NULL, .base = r->base, .ca = r->ca, .token = r->token, .port = (int)r->port, .handler = &vcr_replay_handler, .ctx = r->replay,
		.meant = r->fence.h ? vcr_lead_meant : NULL, .meant_ctx = r->fence.h, .spoke = r->fence.h ? vcr_lead_spoke : NULL };
	int err = vcr_gate_new(&r->gate, &o, e);
	if (r->seal) /* they are the gate's now */
		memset(r->sealed.listener, -1, sizeof r->sealed.listener);
	return err;
}

/* The command's namespaces, and what stands for /etc/hosts in them. */
static int seal(struct replay *r, struct vcr_error *e)
{
	int err = vcr_paths_runtime_dir(&r->hosts_file, e);
	if (err)
		return err;
	vcr_buf_printf(&r->hosts_file, "/replay-%d.hosts", (int)getpid());
	if ((err = vcr_sealed_write_hosts(r->hosts_file.data, (const char *const *)r->hosts, e)))
		return err;
	if (r->bundle.len)
		chmod(r->bundle.data, 0644); /* as the file that it stands for: nothing in it is secret */
	r->run.sealed = &r->sealed;
	r->run.hosts = r->hosts_file.data;
	r->run.bundle = r->bundle.len ? r->bundle.data : NULL;
	return 0;
}

/* Without the library the command is only pointed here by variables, which it may not heed. */
static void make_fence(struct replay *r)
{
	struct vcr_error e = { 0 };
	if (!r->command || !vcr_fence_make(&r->fence, r->vcr_dir.data, NULL, r->deterministic ? &r->terms : NULL, &e)) {
		r->determ = r->fence.spool ? vcr_determ_open(r->fence.spool) : NULL;
		return;
	}
	vcr_say(r->t, "the command is pointed here by variables alone, and not kept from the network: %s", e.what);
	vcr_fence_release(&r->fence);
}

static int prepare(struct replay *r, enum vcr_rung rung, double speed, enum expired expired)
{
	struct vcr_error e = { 0 };
	int err = vcr_config_load(&r->config, r->vcr_dir.data, &e);
	if (!err)
		err = vcr_normal_user_new(&r->normalisers, r->config.normalisers, &e);
	if (!err && !(r->base = event_base_new()))
		err = vcr_error_set(&e, VCR_ENOMEM, "out of memory");
	if (!err && r->online && !(err = vcr_fence_make(&r->fence, r->vcr_dir.data, r->live.id, NULL, &e)))
		r->fence.h->flags |= r->config.capture_all ? VCR_SPOOL_CAPTURE_ALL : 0, err = vcr_replay_live_prepare(r, &e);
	if (!err)
		err = make_replay(r, rung, speed, expired, &e);
	if (!err && gather_hosts(r))
		err = vcr_error_set(&e, VCR_ENOMEM, "out of memory");
	if (!err)
		err = make_ca(r, &e);
	if (!err && r->seal)
		err = seal(r, &e);
	if (!err && !r->online)
		make_fence(r);
	if (!err && r->deterministic && !r->determ)
		err = vcr_error_set(&e, VCR_ENOTFOUND, "--deterministic is not to be had without the library");
	if (!err && r->wants_hermetic && !r->fence.h)
		err = vcr_error_set(&e, VCR_ENOSYS, "--hermetic wants the library in the command");
	else if (!err && r->wants_hermetic)
		err = vcr_hermetic_new(r, rung < VCR_RUNG_NORMALISED, &e);
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

/* ---- Serving alone ---- */

static void on_signal(evutil_socket_t sig, short what, void *base)
{
	event_base_loopbreak(base);
}

static int write_member(void *writer, const char *name, const char *value)
{
	vcr_jw_key(writer, name);
	vcr_jw_str(writer, value);
	return 0;
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
	if (r->reader)
		write_member(&w, "session", vcr_reader_header(r->reader)->session_id);
	if (r->online)
		write_member(&w, "recorded_as", r->live.id);
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
	int64_t asked, calls = vcr_replay_calls(r, &asked);
	const char *id = r->reader ? vcr_reader_header(r->reader)->session_id : r->live.id;
	point_of(r, &p);
	if (r->t->json) {
		announce_json(r, &p);
		return;
	}
	vcr_safe(&name, id, strlen(id), 0);
	printf("Session %s, %lld model call%s, is served on 127.0.0.1:%d; %s%s.\n", name.data, (long long)calls, calls == 1 ? "" : "s", p.port,
		r->online ? "what is not in it goes to the network, and is recorded as session " : "nothing goes to the network", r->online ? r->live.id : "");
	vcr_point_words(&p, &words);
	printf("%s\nInterrupt ends it.\n", words.data);
	fflush(stdout);
}

static int serve_alone(struct replay *r)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct event *ev[3];
	struct vcr_error e = { 0 };
	pid_t root = r->online ? vcr_replay_live_root(r) : 0;
	if (r->online && (root < 0 || vcr_replay_live_start(r, root, &e))) {
		vcr_say(r->t, "%s", *e.what ? e.what : strerror(errno));
		return VCR_EXIT_FAILED;
	}
	for (int i = 0; i < 3; i++)
		if ((ev[i] = evsignal_new(r->base, signals[i], on_signal, r->base)))
			event_add(ev[i], NULL);
	signal(SIGPIPE, SIG_IGN);
	announce(r);
	event_base_dispatch(r->base);
	for (int i = 0; i < 3; i++)
		if (ev[i])
			event_free(ev[i]);
	if (r->online)
		vcr_replay_live_finish(r);
	vcr_replay_summary(r);
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
	struct vcr_lead_options o = { .port = vcr_gate_port(r->gate), .v6 = vcr_gate_has_v6(r->gate), .replay = !r->online, .token = r->token, .ca = vcr_ca_path(r->ca),
		.bundle = r->bundle.data, .extra = r->extra.data, .hosts = (const char *const *)r->hosts };
	int err = r->fence.h ? vcr_fence_publish(&r->fence, &o, &r->run.pids, &e) : 0;
	if (err)
		vcr_say(r->t, "%s", e.what);
	return err == VCR_ELIMIT ? 0 : err;
}

static int supervise(struct replay *r)
{
	struct vcr_error e = { 0 };
	struct vcr_warden *w = r->hermetic ? vcr_hermetic_warden(r->hermetic) : NULL;
	const struct vcr_supervise_options o = { .spool = r->fence.spool, .replay = !r->online, .asks = w ? vcr_warden_asks : NULL, .asks_ctx = w };
	if (w)
		vcr_warden_rests(w);
	int err = vcr_supervised_start(&r->supervised, &r->run, &o, &e);
	if (err)
		vcr_say(r->t, "--supervise: %s; the command is not run", e.what);
	return err;
}

/* What the command itself starts, if the library does not see that. */
static void watch_command(struct replay *r)
{
	struct vcr_error e = { 0 };
	int fd;
	if (vcr_run_listener(&r->run, &fd, &e))
		vcr_warden_misses(vcr_hermetic_warden(r->hermetic), r->run.pids.number, r->command[0], e.what);
	else
		vcr_warden_take(vcr_hermetic_warden(r->hermetic), fd);
}

/* Fork the command, then start the loop's thread, then let the command go. */
static int run_command(struct replay *r)
{
	struct vcr_error e = { 0 };
	struct vcr_point p;
	pthread_t thread;
	int status = 0;
	point_of(r, &p);
	enum vcr_target target = vcr_preload_target(r->command[0]);
	r->run.execs_only = !r->supervise && r->hermetic && vcr_target_is_lent(target);
	r->run.supervised = r->supervise || r->run.execs_only;
	r->run.own_numbers = r->deterministic && !r->supervise;
	/* Where we record, programs that can be tapped have to be led by the library, so that it knows what not to tap; others are lent the variables. So it was
	 * when a deterministic session was recorded, and its programs are to find what they found then. */
	bool unready = pipe(r->stop) || (!r->online && !r->deterministic && vcr_point_each(&p, put, NULL)) || vcr_run_fork(&r->run, r->command, &e);
	signal(SIGPIPE, SIG_IGN); /* ours, not the command's */
	if (!unready && r->online && vcr_replay_live_start(r, r->run.pid, &e)) {
		kill(r->run.pid, SIGKILL);
		unready = true;
	}
	if (unready) {
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
	r->run.supervised &= r->fence.h != NULL;
	if (r->deterministic)
		vcr_outsider_say_chance(r->t, target, r->command[0], &r->run);
	if (r->hermetic && !vcr_target_is_lent(target))
		vcr_outsider_say_tools(r->t, target, r->command[0]);
	vcr_run_start(&r->run, r->fence.h ? r->fence.preload.data : NULL, r->fence.spool, target, r->fence.h ? &r->fence.h->gate : NULL);
	if (r->run.supervised && r->run.execs_only)
		watch_command(r);
	if (r->hermetic && vcr_warden_start(vcr_hermetic_warden(r->hermetic), &e))
		vcr_say(r->t, "%s", e.what); /* then what it watches waits, and the first of it is the command */
	if (r->run.supervised && r->run.execs_only)
		vcr_run_go(&r->run);
	bool failed = r->run.supervised && !r->run.execs_only && supervise(r);
	int lost = vcr_run_wait(&r->run, &status);
	if (r->online)
		vcr_replay_live_finish(r); /* the gate answers what outlives the command until then */
	if (write(r->stop[1], "", 1) == 1)
		pthread_join(thread, NULL);
	event_free(stop);
	if (r->hermetic)
		vcr_hermetic_stop(r->hermetic);
	vcr_supervised_say(&r->supervised, r->t);
	vcr_supervised_end(&r->supervised);
	if (failed)
		return EXIT_REPLAY;
	if (lost) {
		vcr_say(r->t, "lost sight of the command: %s", strerror(errno));
		return EXIT_REPLAY;
	}
	if (!r->online)
		r->refused.times += vcr_fence_refusals(&r->fence, vcr_replay_fenced, vcr_replay_lost, r);
	vcr_replay_summary(r);
	if (r->mode == VCR_MODE_REWRITE)
		vcr_replay_rewrite(r, WIFEXITED(status) && !WEXITSTATUS(status));
	if ((r->missed_calls || (r->hermetic && vcr_hermetic_refused(r->hermetic))) && WIFEXITED(status) && !WEXITSTATUS(status))
		return VCR_EXIT_NO;
	return status ? -1 - status : 0; /* the caller ends as the command did, when all is put away */
}

static void release(struct replay *r)
{
	vcr_gate_free(r->gate);
	vcr_replay_free(r->replay);
	vcr_replay_live_release(r);
	vcr_fence_release(&r->fence); /* the gate asks it */
	vcr_determ_close(r->determ);
	vcr_hermetic_free(r->hermetic);
	if (r->ca)
		vcr_ca_remove(r->ca);
	vcr_ca_free(r->ca);
	if (r->base)
		event_base_free(r->base);
	vcr_chain_release(&r->chain);
	vcr_reader_free(r->opened);
	for (size_t i = 0; i < r->nbefore; i++)
		vcr_context_release(&r->before_in[i]);
	vcr_buf_release(&r->path);
	vcr_config_release(&r->config);
	vcr_normal_user_free(r->normalisers);
	vcr_context_release(&r->recorded);
	vcr_context_release(&r->here);
	for (size_t i = 0; i < r->nhosts; i++)
		free(r->hosts[i]);
	free(r->hosts);
	for (int i = 0; i < 2; i++)
		if (r->stop[i] >= 0)
			close(r->stop[i]);
	if (r->hosts_file.len)
		unlink(r->hosts_file.data);
	vcr_buf_release(&r->hosts_file);
	vcr_sealed_release(&r->sealed);
	vcr_buf_release(&r->vcr_dir);
	vcr_buf_release(&r->bundle);
	vcr_buf_release(&r->extra);
	vcr_buf_release(&r->strangers);
	vcr_refused_release(&r->refused);
}

/* ---- Which recording ---- */

/* A session in which a replay wrote down where it diverged, and nothing else, stands for what was replayed. */
static int open_chain(struct replay *r)
{
	int status = vcr_chain_open(r->t, r->vcr_dir.data, r->reader, r->path.data, &r->chain);
	if (status)
		return status;
	size_t last = r->chain.n - 1;
	while (last && !vcr_chain_has_calls(r->chain.reader[last]))
		last--;
	r->reader = r->chain.reader[last];
	vcr_buf_reset(&r->path);
	vcr_buf_puts(&r->path, r->chain.path[last]);
	for (size_t i = 0; i < last; i++)
		r->before[r->nbefore++].reader = r->chain.reader[i];
	return 0;
}

static int open_recording(struct replay *r, const char *session)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	bool is_id = session && !vcr_paths_check_session_id(session, NULL);
	if (r->mode == VCR_MODE_ONCE && is_id && vcr_paths_find_session(r->vcr_dir.data, session, &path, &e)) {
		snprintf(r->live.id, sizeof r->live.id, "%s", session); /* the first time */
		r->online = true;
		return 0;
	}
	int status = vcr_tool_open_session(r->t, session, &r->opened, &r->path);
	r->reader = r->opened;
	if (status || (status = open_chain(r)))
		return status;
	vcr_paths_new_session_id(r->live.id);
	bool empty = !vcr_chain_has_calls(r->reader);
	for (size_t i = 0; i < r->nbefore; i++)
		empty = empty && !vcr_chain_has_calls(r->before[i].reader);
	r->online = r->mode >= VCR_MODE_NEW_EPISODES || (r->mode == VCR_MODE_ONCE && empty);
	return 0;
}

/* Clock and seed of the recording: of the first of its sessions, with which the command began. */
static int take_terms(struct replay *r)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (r->online)
		return vcr_wrong_call(r->t, "--deterministic is for a replay that stays offline: leave --mode away");
	const struct vcr_reader_session *h = vcr_reader_header(r->nbefore ? r->before[0].reader : r->reader);
	if (!vcr_json_parse(&j, h->metadata_json, strlen(h->metadata_json), 0, NULL) && !vcr_json_str(&j, vcr_json_get(&j, 0, "deterministic"), &text) &&
	    vcr_determ_terms_parse(text.data, &r->terms)) {
		vcr_outsider_apply_terms(r->t, &r->terms);
		return 0;
	}
	if (vcr_determ_terms_of(&r->terms, h->session_id, h->created_ns / 1000, &e))
		return vcr_failed(r->t, &e);
	if (!r->t->quiet)
		vcr_say(r->t, "that session was not recorded with --deterministic, or not by this release: the command's random bytes are the same each time, but not the recorded ones");
	return 0;
}

static int replay(struct replay *r, const char *session)
{
	struct vcr_error e = { 0 };
	enum vcr_rung rung;
	enum expired expired;
	double speed;
	int status;
	if ((status = choose_rung(r, &rung)) || (status = choose_mode(r)) || (status = choose_expired(r, &expired)) || (status = choose_speed(r, &speed)) || (status = choose_word(r, "repeat", r->repeat, "recorded", "last", &r->repeat_last)) ||
	    (status = choose_word(r, "faults", r->faults, "replay", "skip", &r->skip_faults)))
		return status;
	if (r->mode == VCR_MODE_REWRITE && !r->command)
		return vcr_wrong_call(r->t, "--mode=rewrite wants a command: whether it succeeds says whether its run is kept");
	if (r->port > 65535)
		return vcr_wrong_call(r->t, "--port wants a number below 65536");
	if (vcr_tool_dir(r->t, &r->vcr_dir, &e))
		return vcr_failed(r->t, &e);
	if ((status = open_recording(r, session)) || (r->deterministic && (status = take_terms(r))) || (status = prepare(r, rung, speed, expired)) || (status = look_at_age(r, expired)))
		return status;
	tell_unusable(r);
	compare_agents(r);
	return r->command ? run_command(r) : serve_alone(r);
}

int vcr_verb_replay(struct vcr_tool *t, int argc, char **argv)
{
	struct replay r = { .t = t, .fence = { .preload = VCR_BUF_INIT }, .vcr_dir = VCR_BUF_INIT, .bundle = VCR_BUF_INIT, .extra = VCR_BUF_INIT, .path = VCR_BUF_INIT, .stop = { -1, -1 },
		.live = { .words = -1, .awaits = -1, .root = -1 },
		.sealed = VCR_SEALED_INIT, .hosts_file = VCR_BUF_INIT, .strangers = VCR_BUF_INIT };
	const struct vcr_opt opts[] = {
		{ 's', "speed", "N", VCR_OPT_STRING, &r.speed, "0: at once (default), 1: as it came, N: that many times faster" },
		{ 'S', "strict", "RUNG", VCR_OPT_STRING, &r.strict, "exact, canonical, normalised (default), structural: how far a request may differ" },
		{ 'm', "match", "RUNG", VCR_OPT_STRING, &r.strict, "the old name of --strict" },
		{ 'M', "mode", "MODE", VCR_OPT_STRING, &r.mode_word, "none (default): never online; once, new-episodes, all, rewrite: what goes online and is recorded" },
		{ 0, "expire", "DAYS", VCR_OPT_NUMBER, &r.expire_days, "calls that were recorded longer ago than that have expired" },
		{ 0, "expired", "HOW", VCR_OPT_STRING, &r.expired_word, "warn (default): they are counted; error: nothing is replayed; record: they go online (--mode=new-episodes)" },
		{ 0, "repeat", "HOW", VCR_OPT_STRING, &r.repeat, "recorded (default): each answer as often as it was given; last: the last one ever again" },
		{ 0, "faults", "HOW", VCR_OPT_STRING, &r.faults, "replay (default): calls that failed fail again; skip: as if they had not been made" },
		{ 0, "supervise", NULL, VCR_OPT_FLAG, &r.supervise, "answer and fence static programs that honour no proxy variable; setuid programs will not work" },
		{ 0, "sealed", NULL, VCR_OPT_FLAG, &r.seal, "the command in namespaces of its own, where there is no network but this" },
		{ 0, "deterministic", NULL, VCR_OPT_FLAG, &r.deterministic, "the command has the clock and the random bytes of the recorded one (vcr-record --deterministic)" },
		{ 0, "hermetic", NULL, VCR_OPT_FLAG, &r.wants_hermetic, "tools are answered from the session too, and do not run (recorded with --capture=all)" },
		{ 'p', "port", "N", VCR_OPT_NUMBER, &r.port, "listen on this port, not on any that is free" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION] [-- COMMAND [ARGUMENT]...]",
		"Answer model calls from a recording, offline: those of COMMAND, or of any program that is pointed here.", opts, false };
	struct vcr_error e = { 0 };
	char **command = NULL;
	int front = vcr_split_command(argc, argv, &command), status, n = vcr_options_parse(t, &u, front, argv, &status);
	if (n < 0)
		return status;
	if (command && !*command)
		return vcr_wrong_call(t, "which command? vcr-replay [SESSION] -- COMMAND");
	if (n > 1)
		return vcr_wrong_call(t, "one session at a time; a command stands behind --: vcr-replay %s -- %s ...", argv[0], argv[1]);
	r.command = command;
	if (r.seal && !command)
		return vcr_wrong_call(t, "--sealed is about a command: vcr-replay --sealed [SESSION] -- COMMAND");
	if (r.wants_hermetic && !command)
		return vcr_wrong_call(t, "--hermetic is about a command: vcr-replay --hermetic [SESSION] -- COMMAND");
	if (r.wants_hermetic && r.mode_word && strcmp(r.mode_word, "none"))
		return vcr_wrong_call(t, "--hermetic never goes online, and --mode=%s does: give one of both", r.mode_word);
	if (r.seal && r.port)
		return vcr_wrong_call(t, "--port is of this machine's network, and --sealed leaves it: give one of both");
	if (r.seal && vcr_sealed_make(&r.sealed, &e)) {
		vcr_say(t, "--sealed cannot be had: %s; the command is not run", e.what);
		return EXIT_REPLAY;
	}
	if (r.deterministic && !command)
		return vcr_wrong_call(t, "--deterministic is about a command: vcr-replay --deterministic [SESSION] -- COMMAND");
	if (r.supervise && !command)
		return vcr_wrong_call(t, "--supervise is about a command: vcr-replay --supervise [SESSION] -- COMMAND");
	if (r.supervise && vcr_notify_possible(&e)) {
		vcr_say(t, "--supervise cannot be had: %s; the command is not run", e.what);
		return EXIT_REPLAY;
	}
	status = replay(&r, n ? argv[0] : NULL);
	release(&r);
	return status < 0 ? vcr_run_exit(&r.run, -1 - status) : status;
}
