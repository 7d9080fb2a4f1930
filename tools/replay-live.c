/* replay-live.c — what a replay lets through to the real hosts, and the session in which that is recorded.
 *
 * It is an ordinary recording: a collector reads the spool that the command's processes and our forward append to. What was answered from the
 * recording is not in it; its metadata name the session that it continues (replay_of). What the sentinel had put into recorded requests goes into these too. */
#include "agent.h"
#include "control.h"
#include "replaying.h"
#include "open.h"
#include "paths.h"
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BASE_MS = 30000, END_MS = 30000, LINGER_MS = 400, SLICE_MS = 20 };

int vcr_replay_live_prepare(struct replay *r, struct vcr_error *e)
{
	struct vcr_forward_options o = { .base = r->base, .connect_to = (const char *const *)r->config.connect_to, .cacert = r->config.cacert };
	int err = vcr_spooled_open(&r->live.spooled, r->fence.spool, e);
	if (err || (err = vcr_spooled_start(&r->live.spooled, r->base, e)))
		return err;
	vcr_spooled_passes(&r->live.spooled, &o);
	if (vcr_reminded_recalls(&r->live.spooled.reminded, (const char *const *)r->config.model_hosts))
		return vcr_error_set(e, VCR_ENOMEM, "out of memory");
	return vcr_forward_new(&r->live.forward, &o, e);
}

/* ---- Beginning ---- */

static int spawn_collector(struct replay *r, struct vcr_error *e)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT, of = VCR_BUF_INIT, agent = VCR_BUF_INIT;
	const char *argv[14];
	int n = 0, err = vcr_control_collector_path(&program, e);
	if (err)
		return err;
	argv[n++] = program.data;
	argv[n++] = "--spool";
	argv[n++] = r->fence.spool;
	argv[n++] = "--tag";
	argv[n++] = "replay";
	if (r->reader && r->mode != VCR_MODE_ALL && r->mode != VCR_MODE_REWRITE) {
		vcr_buf_printf(&of, "replay_of=%s", vcr_replay_name(r));
		argv[n++] = "--meta";
		argv[n++] = of.data;
	}
	if (r->command && !vcr_buf_puts(&agent, "agent=") && !vcr_agent_identity(r->command, &agent) && agent.len > strlen("agent=")) {
		argv[n++] = "--meta";
		argv[n++] = agent.data;
	}
	argv[n] = NULL;
	r->live.awaits = vcr_control_await_result(r->live.id);
	r->live.words = memfd_create("vcr-collector", MFD_CLOEXEC);
	err = vcr_control_spawn((char *const *)argv, r->live.words, &r->live.collector, e);
	if (err)
		r->live.collector = 0;
	return err;
}

static bool collector_ended(struct replay *r)
{
	if (r->live.collector > 0 && waitpid(r->live.collector, NULL, WNOHANG) == r->live.collector)
		r->live.collector = 0;
	return !r->live.collector;
}

/* What the files were before the command's first instruction. */
static int wait_for_base(struct replay *r, struct vcr_error *e)
{
	struct vcr_spool_header *h = r->fence.h;
	const struct timespec slice = { 0, SLICE_MS * 1000000 };
	char words[400];
	for (int ms = 0; !__atomic_load_n(&h->base_ready, __ATOMIC_ACQUIRE) && !collector_ended(r) && ms < BASE_MS; ms += SLICE_MS)
		syscall(SYS_futex, &h->base_ready, FUTEX_WAIT, 0, &slice, NULL, 0);
	if (__atomic_load_n(&h->base_ready, __ATOMIC_ACQUIRE) && __atomic_load_n(&h->collector, __ATOMIC_ACQUIRE) >= VCR_COLLECTOR_RUNNING)
		return 0;
	ssize_t n = r->live.words >= 0 ? pread(r->live.words, words, sizeof words - 1, 0) : 0;
	words[n > 0 ? n : 0] = 0;
	words[strcspn(words, "\n")] = 0;
	return vcr_error_set(e, VCR_EIO, "what goes to the network cannot be recorded: %s", *words ? words : "the collector does not begin");
}

int vcr_replay_live_start(struct replay *r, pid_t root, struct vcr_error *e)
{
	r->fence.h->root_pid = root;
	r->fence.h->root_start = vcr_spool_start_time(root);
	int err = spawn_collector(r, e);
	return err ? err : wait_for_base(r, e);
}

pid_t vcr_replay_live_root(struct replay *r)
{
	int go[2];
	char c;
	if (pipe(go))
		return -1;
	pid_t pid = fork();
	if (!pid) {
		close(go[1]);
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		while (read(go[0], &c, 1) < 0 && errno == EINTR)
			;
		_exit(0);
	}
	close(go[0]);
	if (pid < 0)
		close(go[1]);
	else
		r->live.root = go[1];
	return r->live.root_pid = pid;
}

/* ---- The end ---- */

static bool processes_left(const struct replay *r)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int64_t n = 0;
	return !vcr_control_ask(r->live.id, "{\"op\":\"status\"}", &answer, 200, NULL) && !vcr_json_parse(&j, answer.data, answer.len, 0, NULL) &&
		vcr_json_int(&j, vcr_json_get(&j, 0, "processes"), &n) && n > 0;
}

void vcr_replay_live_finish(struct replay *r)
{
	VCR_AUTO_BUF result = VCR_BUF_INIT, path = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	int ms = 0;
	if (r->live.root >= 0) {
		close(r->live.root);
		r->live.root = -1;
		waitpid(r->live.root_pid, NULL, 0);
	}
	for (; !collector_ended(r) && ms < END_MS && !(ms > LINGER_MS && ms % 400 == 0 && processes_left(r)); ms += SLICE_MS)
		poll(NULL, 0, SLICE_MS);
	if (r->live.collector) {
		vcr_say(r->t, "processes of the command still run; what they ask is not answered any more, and session %s ends with them", r->live.id);
		vcr_tool_settle(r->vcr_dir.data);
	}
	vcr_control_take_result(r->live.id, r->live.awaits, &result, NULL);
	vcr_buf_printf(&path, "%s/%s.vcr", r->vcr_dir.data, r->live.id);
	if (vcr_reader_open(&r->live.reader, path.data, NULL, NULL, &e)) {
		r->live.reader = NULL;
		vcr_say(r->t, "LOST: what went to the network is not recorded: %s", e.what);
	}
}

void vcr_replay_live_release(struct replay *r)
{
	vcr_forward_free(r->live.forward);
	vcr_reminded_free(r->live.spooled.reminded);
	vcr_spooled_release(&r->live.spooled);
	vcr_reader_free(r->live.reader);
	if (r->live.words >= 0)
		close(r->live.words);
}
