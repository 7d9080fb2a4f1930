/* vcr record — run a command under the recorder.
 *
 * The child is forked first and waits: so its pid is known to the collector, the start scan is complete before its first instruction, and a
 * recorder that cannot be started costs nothing but a warning. See run.h for how it is waited for. */
#include "../lib/config.h" /* not configure's */
#include "agent.h"
#include "control.h"
#include "determ.h"
#include "json.h"
#include "judged.h"
#include "limits.h"
#include "options.h"
#include "outsider.h"
#include "paths.h"
#include "usage.h"
#include "preload.h"
#include "record-tell.h"
#include "record-txn.h"
#include "run.h"
#include "supervised.h"
#include "spool.h"
#include "verbs.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h> /* <limits.h> would be lib/limits.h */
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
	GATE_MS = 5000,       /* how long the gate may take to listen */
	BASE_MS = 30000,      /* how long the start scan may hold the command back */
	PROGRESS_MS = 1000,   /* silence before a progress line */
	END_MS = 30000,       /* how long the collector may take to finish when no process is left */
	TEST_GRACE_MS = 15000, /* what the collector gives a run of tests that is not the last one, and itself to end it */
	LINGER_MS = 400,      /* how long processes that outlive the command are waited for */
	SLICE_MS = 50,
	MOST_WAYS = 64,       /* --connect-to */
	EXIT_RECORDER = 125,  /* we failed ourselves, as env(1) says it */
};

struct record {
	struct vcr_tool *t;
	const char *session;       /* --session, NULL */
	struct vcr_opt_list tags, meta, connect_to;
	const char *burst, *sentinel; /* NULL: not given */
	const char *test_command, *test_timeout; /* likewise */
	int test_seconds;
	enum vcr_sentinel judges;
	bool supervise, seal, deterministic, capture_all;
	struct vcr_determ_terms terms;
	struct vcr_buf terms_text; /* as an entry of the metadata */
	const char *capture;       /* --capture; NULL: as .vcr/config says */
	struct vcr_record_txn txn;
	struct vcr_sealed sealed;
	char hosts[PATH_MAX], bundle[PATH_MAX]; /* files that stand for the system's inside; "" none */
	struct vcr_supervised supervised;
	const char *lane, *cacert; /* NULL: not given, which is auto with a gate on need */
	char cacert_path[PATH_MAX]; /* the collector, which may have to start a gate, is elsewhere */
	struct vcr_config config;
	char id[VCR_MAX_SESSION_ID + 1];
	struct vcr_buf vcr_dir, workspace, preload, notes, agent; /* agent: "agent=" and which program it is (lib/agent.h); "" not known */
	struct vcr_error nowhere;  /* there is no directory to record in */
	char *spool;
	struct vcr_spool_header *h;
	pid_t collector;           /* 0: none runs */
	int collector_words;       /* a memory file: what it says on stderr */
	int collector_status;
	int awaits;                /* vcr_control_await_result */
	pid_t gate;                /* 0: none runs */
	int gate_words;
	struct vcr_run run;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- What is needed before ---- */

/* What is done about the code that is written; what warns has to be in the way. */
static int check_sentinel(struct record *r)
{
	static const char *const names[] = { "off", "observe", "warn", "block", "block:stop" };
	VCR_AUTO_BUF judge = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	int mode = *r->sentinel ? VCR_SENTINEL_OFF : VCR_SENTINEL_OBSERVE;
	for (int i = 0; *r->sentinel && i <= VCR_SENTINEL_STOP; i++)
		mode = strcmp(names[i], r->sentinel) ? mode : i;
	if (!mode)
		return !strcmp(r->sentinel, "off") ? 0 : vcr_wrong_call(r->t, "--sentinel wants observe, warn, block, block:stop or off, not '%s'", r->sentinel);
	if (vcr_control_judge_path(&judge, &e)) {
		vcr_say(r->t, "--sentinel cannot be had: %s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	if (mode >= VCR_SENTINEL_WARN && r->lane && strcmp(r->lane, "gate"))
		return vcr_wrong_call(r->t, "--sentinel=%s speaks to the agent through the gate, and the lane is %s: use --lane=gate", r->sentinel, r->lane);
	if (mode >= VCR_SENTINEL_WARN)
		r->lane = "gate";
	r->judges = (enum vcr_sentinel)mode;
	return 0;
}

static int check_call(struct record *r)
{
	struct vcr_error e = { 0 };
	int burst, status;
	for (int i = 0; i < r->meta.n; i++)
		if (!strchr(r->meta.item[i], '=') || *r->meta.item[i] == '=')
			return vcr_wrong_call(r->t, "--meta wants KEY=VALUE, not '%s'", r->meta.item[i]);
	if (r->lane && strcmp(r->lane, "tap") && strcmp(r->lane, "gate") && strcmp(r->lane, "auto"))
		return vcr_wrong_call(r->t, "--lane wants tap, gate or auto, not '%s'", r->lane);
	if (r->sentinel && (status = check_sentinel(r)))
		return status;
	if ((status = vcr_tests_wanted(r->t, r->test_command, r->test_timeout, r->seal, &r->test_seconds)))
		return status;
	if (r->burst && vcr_config_burst(r->burst, &burst))
		return vcr_wrong_call(r->t, "--burst wants a number from 1, or off, not '%s'", r->burst);
	if (r->capture && strcmp(r->capture, "models") && strcmp(r->capture, "all"))
		return vcr_wrong_call(r->t, "--capture wants models or all, not '%s'", r->capture);
	if (r->connect_to.n > MOST_WAYS)
		return vcr_wrong_call(r->t, "--connect-to can be given %d times", MOST_WAYS);
	if (!vcr_tool_dir(r->t, &r->vcr_dir, &r->nowhere) && !vcr_paths_workspace(".", &r->workspace, &r->nowhere) && vcr_config_load(&r->config, r->vcr_dir.data, &e))
		vcr_say(r->t, "%s", e.what); /* the collector takes what stands above it */
	r->capture_all = r->capture ? !strcmp(r->capture, "all") : r->config.capture_all;
	if (!r->lane)
		r->lane = r->config.lane;
	if (r->cacert && realpath(r->cacert, r->cacert_path))
		r->cacert = r->cacert_path;
	if ((r->cacert || r->connect_to.n) && r->lane && !strcmp(r->lane, "tap"))
		return vcr_wrong_call(r->t, "--connect-to and --cacert are the gate's, and the lane is tap: use --lane=gate or --lane=auto");
	if ((r->cacert || r->connect_to.n) && !r->lane)
		r->lane = "auto"; /* a gate that is started on need knows .vcr/config only */
	if (r->seal && r->lane && !strcmp(r->lane, "tap"))
		return vcr_wrong_call(r->t, "--sealed leaves no way out but the gate, and the lane is tap: use --lane=gate");
	if (r->seal && vcr_sealed_make(&r->sealed, &e)) {
		vcr_say(r->t, "--sealed cannot be had: %s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	if (r->seal)
		r->lane = "gate";
	if (r->deterministic && r->lane && !strcmp(r->lane, "tap"))
		return vcr_wrong_call(r->t, "--deterministic is the gate's, and the lane is tap: use --lane=gate");
	if (r->deterministic && vcr_determ_terms_new(&r->terms, &e)) {
		vcr_say(r->t, "--deterministic cannot be had: %s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	if (r->deterministic) {
		r->lane = "gate";
		vcr_buf_puts(&r->terms_text, "deterministic=");
		vcr_determ_terms_text(&r->terms, &r->terms_text);
	}
	if (r->supervise && vcr_notify_possible(&e)) {
		vcr_say(r->t, "--supervise cannot be had: %s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	if (!r->session) {
		vcr_paths_new_session_id(r->id);
		return 0;
	}
	if (vcr_paths_check_session_id(r->session, &e))
		return vcr_failed(r->t, &e);
	snprintf(r->id, sizeof r->id, "%s", r->session);
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	vcr_buf_printf(&path, "%s/%s.vcr", r->vcr_dir.data, r->id);
	if (lstat(path.data, &st) && errno == ENOENT)
		return 0;
	vcr_say(r->t, "there is a session '%s' already: %s; choose another id, or leave --session away", r->id, path.data);
	return VCR_EXIT_USAGE;
}

/* Where the command may annotate, also where the library does not come: $VCR_ANNOTATE (lib/recorder-notes.c). "" if it cannot be had. */
static void make_notes(struct record *r)
{
	vcr_buf_printf(&r->notes, "%.*s/%s.notes", (int)(strrchr(r->spool, '/') - r->spool), r->spool, r->id);
	int fd = open(r->notes.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		vcr_buf_reset(&r->notes);
	else
		close(fd);
}

/* What tools print is kept beside the spool until the collector has it: where nothing reaches a disk. */
static void make_stand_in(struct record *r)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT, dir = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	vcr_buf_printf(&dir, "%.*s.out", (int)(strlen(r->spool) - strlen(".spool")), r->spool);
	if (vcr_control_program_path("vcr-standin", &program, &e) || program.len >= sizeof r->h->standin || dir.len >= sizeof r->h->stood || (mkdir(dir.data, 0700) && errno != EEXIST)) {
		vcr_say(r->t, "what tools print is not kept: %s", *e.what ? e.what : strerror(errno));
		return;
	}
	strcpy(r->h->stood, dir.data);
	strcpy(r->h->standin, program.data);
}

static int make_spool(struct record *r, struct vcr_error *e)
{
	char cwd[PATH_MAX];
	struct vcr_spool_make make = { .session_id = r->id, .start_dir = getcwd(cwd, sizeof cwd), .workspace = r->workspace.data,
		.vcr_dir = r->vcr_dir.data, .flags = VCR_SPOOL_BY_RECORD | (r->capture_all ? VCR_SPOOL_CAPTURE_ALL : 0), .root_pid = r->run.pids.number };
	int err = vcr_spool_create(&make, &r->spool, e);
	int fd = err ? -1 : open(r->spool, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (err || fd < 0)
		return err ? err : vcr_error_sys(e, errno, "%s", r->spool);
	void *map = mmap(NULL, sizeof *r->h, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return vcr_error_sys(e, errno, "%s", r->spool);
	r->h = map;
	vcr_pids_publish(r->h, &r->run.pids);
	if (r->deterministic && (err = vcr_determ_make(r->spool, &r->terms, e)))
		return err;
	make_notes(r);
	r->h->sentinel = r->judges;
	if (r->capture_all)
		make_stand_in(r);
	r->h->lane = !r->lane || !strcmp(r->lane, "auto") ? VCR_LANE_AUTO : !strcmp(r->lane, "gate") ? VCR_LANE_GATE : VCR_LANE_TAP;
	r->awaits = vcr_control_await_result(r->id);
	return 0;
}

/* ---- The collector ---- */

/* seconds: a buffer that lives as long. */
static char **collector_argv(const struct record *r, char *program, char seconds[12])
{
	char **argv = calloc((size_t)(r->tags.n + r->meta.n + r->connect_to.n) * 2 + 18, sizeof *argv);
	int n = 0;
	if (!argv)
		return NULL;
	snprintf(seconds, 12, "%d", r->test_seconds);
	argv[n++] = program;
	argv[n++] = "--spool";
	argv[n++] = r->spool;
	if (r->txn.open)
		argv[n++] = "--stay";
	if (r->seal)
		argv[n++] = "--inherit";
	for (int i = 0; i < r->tags.n; i++) {
		argv[n++] = "--tag";
		argv[n++] = (char *)r->tags.item[i];
	}
	for (int i = 0; i < r->meta.n; i++) {
		argv[n++] = "--meta";
		argv[n++] = (char *)r->meta.item[i];
	}
	if (r->agent.len > strlen("agent=")) {
		argv[n++] = "--meta";
		argv[n++] = r->agent.data;
	}
	if (r->deterministic) {
		argv[n++] = "--meta";
		argv[n++] = r->terms_text.data;
	}
	if (r->burst) {
		argv[n++] = "--burst";
		argv[n++] = (char *)r->burst;
	}
	if (r->test_command) {
		argv[n++] = "--test-command";
		argv[n++] = (char *)r->test_command;
		argv[n++] = "--test-timeout";
		argv[n++] = (char *)seconds;
	}
	for (int i = 0; i < r->connect_to.n; i++) { /* for a gate that has to be started again */
		argv[n++] = "--connect-to";
		argv[n++] = (char *)r->connect_to.item[i];
	}
	if (r->cacert) {
		argv[n++] = "--cacert";
		argv[n++] = (char *)r->cacert;
	}
	return argv;
}

static int spawn_collector(struct record *r, struct vcr_error *e)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT;
	int err = vcr_control_collector_path(&program, e);
	char seconds[12], **argv = err ? NULL : collector_argv(r, program.data, seconds);
	if (!argv)
		return err ? err : vcr_error_set(e, VCR_ENOMEM, "out of memory");
	r->collector_words = memfd_create("vcr-collector", MFD_CLOEXEC);
	err = vcr_control_spawn_with(argv, r->collector_words, r->sealed.listener, r->seal ? VCR_SEALED_LISTENERS : 0, &r->collector, e);
	free(argv);
	if (err)
		r->collector = 0;
	return err;
}

/* The first line that a helper left on stderr; "" if it was silent. */
static void said(int words, char *to, size_t cap)
{
	ssize_t n = words >= 0 ? pread(words, to, cap - 1, 0) : 0;
	to[n > 0 ? n : 0] = 0;
	to[strcspn(to, "\n")] = 0;
}

/* ---- The gate ---- */

static int spawn_gate(struct record *r, struct vcr_error *e)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT;
	const char *argv[10 + 2 * MOST_WAYS];
	int n = 0, err = vcr_control_program_path("vcr-gate", &program, e);
	if (err)
		return err;
	argv[n++] = program.data;
	argv[n++] = "--spool";
	argv[n++] = r->spool;
	if (!strcmp(r->lane, "auto"))
		argv[n++] = "--untapped";
	if (r->deterministic)
		argv[n++] = "--fenced";
	if (r->seal)
		argv[n++] = "--inherit";
	for (int i = 0; i < r->connect_to.n; i++) {
		argv[n++] = "--connect-to";
		argv[n++] = r->connect_to.item[i];
	}
	if (r->cacert) {
		argv[n++] = "--cacert";
		argv[n++] = r->cacert;
	}
	argv[n] = NULL;
	r->gate_words = memfd_create("vcr-gate", MFD_CLOEXEC);
	if (!strcmp(r->lane, "auto"))
		__atomic_store_n(&r->h->gate.flags, VCR_LEAD_UNTAPPED, __ATOMIC_RELEASE); /* before anybody looks */
	__atomic_store_n(&r->h->gate.state, VCR_LEAD_STARTING, __ATOMIC_RELEASE);
	err = vcr_control_spawn_with((char *const *)argv, r->gate_words, r->sealed.listener, r->seal ? VCR_SEALED_LISTENERS : 0, &r->gate, e);
	if (err)
		r->gate = 0;
	return err;
}

static bool gate_ended(struct record *r)
{
	if (r->gate > 0 && waitpid(r->gate, NULL, WNOHANG) == r->gate)
		r->gate = 0;
	return !r->gate;
}

/* A gate that cannot be had costs nothing but itself: the command is tapped then. */
static void wait_for_gate(struct record *r, struct vcr_error *e)
{
	int64_t since = now_ms();
	const struct timespec slice = { 0, SLICE_MS * 1000000 };
	char words[400];
	uint32_t *state = &r->h->gate.state, starting = VCR_LEAD_STARTING;
	while (!*e->what && __atomic_load_n(state, __ATOMIC_ACQUIRE) == VCR_LEAD_STARTING && !gate_ended(r) && now_ms() - since < GATE_MS)
		syscall(SYS_futex, state, FUTEX_WAIT, VCR_LEAD_STARTING, &slice, NULL, 0);
	if (!__atomic_compare_exchange_n(state, &starting, VCR_LEAD_NONE, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) && starting == VCR_LEAD_READY)
		return;
	said(r->gate_words, words, sizeof words);
	vcr_say(r->t, "no gate, model calls are tapped: %s", *e->what ? e->what : *words ? words : "it takes too long");
}

/* What stands for the system's files inside. The gate has said which hosts are its. False: there is no gate, or no such file; that has been said. */
static bool furnish(struct record *r)
{
	const char *list[VCR_LEAD_HOSTS / 2 + 1];
	struct vcr_error e = { 0 };
	struct vcr_lead_block *g = &r->h->gate;
	size_t n = 0;
	if (__atomic_load_n(&g->state, __ATOMIC_ACQUIRE) != VCR_LEAD_READY) {
		vcr_say(r->t, "--sealed has no way out without a gate; the command is not run");
		return false;
	}
	for (size_t at = 0, k; at < VCR_LEAD_HOSTS && (k = strnlen(g->hosts + at, VCR_LEAD_HOSTS - at)); at += k + 1)
		list[n++] = g->hosts + at;
	list[n] = NULL;
	snprintf(r->bundle, sizeof r->bundle, "%.*s", (int)sizeof g->bundle - 1, g->bundle);
	snprintf(r->hosts, sizeof r->hosts, "%.*s.hosts", (int)(strlen(r->spool) - strlen(".spool")), r->spool);
	if (*r->bundle)
		chmod(r->bundle, 0644); /* as the file that it stands for: nothing in it is secret */
	if (!vcr_sealed_write_hosts(r->hosts, list, &e)) {
		r->run.hosts = r->hosts;
		r->run.bundle = *r->bundle ? r->bundle : NULL;
		return true;
	}
	vcr_say(r->t, "--sealed: %s; the command is not run", e.what);
	return false;
}

/* In the supervisor's thread: a program that the library is not in connects to somewhere. */
static void need_gate(void *record)
{
	struct record *r = record;
	struct vcr_error e = { 0 };
	if (r->lane && !strcmp(r->lane, "tap"))
		return;
	if (!r->lane)
		r->lane = "auto";
	if (__atomic_load_n(&r->h->gate.state, __ATOMIC_ACQUIRE) == VCR_LEAD_NONE)
		spawn_gate(r, &e);
	wait_for_gate(r, &e);
}

/* The command has its orders; without a supervisor it will not run. */
static int supervise(struct record *r, struct vcr_error *e)
{
	const struct vcr_supervise_options o = { .spool = r->spool, .need_gate = need_gate, .ctx = r };
	return vcr_supervised_start(&r->supervised, &r->run, &o, e);
}

/* True once the collector has ended. */
static bool collector_ended(struct record *r)
{
	if (r->collector > 0 && waitpid(r->collector, &r->collector_status, WNOHANG) == r->collector)
		r->collector = 0;
	return !r->collector;
}

/* A line that is overwritten, on a foreground terminal, after a second. */
static void progress(const struct record *r, const char *what, int64_t since_ms, bool *shown)
{
	if (*shown || r->t->quiet || now_ms() - since_ms < PROGRESS_MS || !vcr_foreground(2))
		return;
	fprintf(stderr, "vcr-record: %s…", what);
	*shown = true;
}

static void end_progress(bool shown)
{
	if (shown)
		fputs("\r\033[K", stderr);
}

/* The command has ended already (Ctrl-C during the start scan): it is left for vcr_run_wait to reap. */
static bool child_ended(const struct record *r)
{
	siginfo_t info = { 0 };
	return !waitid(P_PID, (id_t)r->run.pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == r->run.pid;
}

static int wait_for_base(struct record *r, struct vcr_error *e)
{
	int64_t since = now_ms();
	bool shown = false;
	const struct timespec slice = { 0, SLICE_MS * 1000000 };
	char words[400];
	while (!__atomic_load_n(&r->h->base_ready, __ATOMIC_ACQUIRE) && !collector_ended(r) && !child_ended(r) && now_ms() - since < BASE_MS) {
		syscall(SYS_futex, &r->h->base_ready, FUTEX_WAIT, 0, &slice, NULL, 0);
		progress(r, "looking at the files of the workspace", since, &shown);
	}
	end_progress(shown);
	/* it says "ready" also when it gives up, and ends then */
	if (__atomic_load_n(&r->h->base_ready, __ATOMIC_ACQUIRE) && __atomic_load_n(&r->h->collector, __ATOMIC_ACQUIRE) >= VCR_COLLECTOR_RUNNING)
		return 0;
	for (int i = 0; i < 20 && !collector_ended(r) && __atomic_load_n(&r->h->base_ready, __ATOMIC_ACQUIRE); i++)
		poll(NULL, 0, SLICE_MS);
	if (!collector_ended(r)) {
		if (!child_ended(r))
			vcr_say(r->t, "the start scan of %s takes longer than %d s; the command starts now, and changes before its end may lack their old content",
				r->workspace.data, BASE_MS / 1000);
		return 0;
	}
	said(r->collector_words, words, sizeof words);
	return vcr_error_set(e, VCR_EIO, "%s", *words ? words : "the collector ended at once");
}

/* What a collector that failed leaves in the runtime directory. */
static void forget_files(const struct record *r, bool spool)
{
	VCR_AUTO_BUF lock = VCR_BUF_INIT;
	if (spool && r->spool && !vcr_buf_printf(&lock, "%s.lock", r->spool)) {
		unlink(r->spool);
		unlink(lock.data);
		vcr_determ_remove(r->spool);
	}
	if (r->notes.len)
		unlink(r->notes.data);
	static const char *const of_sentinel[] = { "sentinel", "judged" }; /* what the gate reads of it, and what its judges leave to each other */
	for (size_t i = 0; r->judges && r->spool && i < sizeof of_sentinel / sizeof *of_sentinel; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_printf(&path, "%.*s/%s.%s", (int)(strrchr(r->spool, '/') - r->spool), r->spool, r->id, of_sentinel[i]);
		unlink(path.data);
	}
}

/* Everything that recording needs; says why when there is something missing, and the command runs without us then. */
static bool prepare(struct record *r)
{
	struct vcr_error e = { 0 }, no_gate = { 0 };
	const char *why = vcr_preload_list(&r->preload, r->deterministic);
	bool gated = r->lane && strcmp(r->lane, "tap");
	if (r->nowhere.code)
		e = r->nowhere;
	else if (why)
		vcr_error_set(&e, VCR_ENOTFOUND, "%s", why);
	else if (!make_spool(r, &e) && !spawn_collector(r, &e)) {
		if (gated)
			spawn_gate(r, &no_gate);
		int err = wait_for_base(r, &e);
		if (gated && !err)
			wait_for_gate(r, &no_gate);
		vcr_sealed_give_away(&r->sealed);
		if (!err)
			return true;
	}
	vcr_say(r->t, "NOT RECORDED: %s", e.what);
	forget_files(r, true);
	return false;
}

/* ---- The end ---- */

/* INT, TERM, HUP or QUIT within ms: the user does not want to wait. */
static bool told_to_leave(int ms)
{
	static const int leave[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (int i = 0; i < 4; i++)
		sigaddset(&set, leave[i]);
	int sig = sigtimedwait(&set, NULL, &(struct timespec){ ms / 1000, ms % 1000 * 1000000L });
	return sig > 0 && sig != SIGCHLD;
}

/* How many processes the session still has; -1 if its collector does not say. */
static int64_t processes_left(const struct record *r, struct vcr_buf *answer)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int64_t n = -1;
	vcr_buf_reset(answer);
	if (!vcr_control_ask(r->id, "{\"op\":\"status\"}", answer, SLICE_MS * 4, NULL) && !vcr_json_parse(&j, answer->data, answer->len, 0, NULL))
		vcr_json_int(&j, vcr_json_get(&j, 0, "processes"), &n);
	return n;
}

/* Wait for the collector. 0: it has ended; 1: processes of the session go on, `answer` is its state; 2: it takes too long. */
static int wait_for_collector(struct record *r, struct vcr_buf *answer)
{
	int64_t since = now_ms();
	bool shown = false;
	int how = 0;
	int64_t most = END_MS + (r->test_command ? r->test_seconds * (int64_t)1000 + TEST_GRACE_MS : 0);
	while (!collector_ended(r) && !how) {
		if (told_to_leave(SLICE_MS))
			how = 2;
		else if (now_ms() - since > LINGER_MS && processes_left(r, answer) > 0)
			how = 1;
		else if (now_ms() - since > most)
			how = 2;
		progress(r, r->test_command ? "waiting for the last run of the tests" : "finishing the session file", since, &shown);
	}
	end_progress(shown);
	return how;
}

/* One that a process of the session has started is not our child: its number is its own as long as its start time is. */
static bool runs_unrelated(const struct record *r)
{
	return !r->gate && r->h->gate.pid > 0 && r->h->gate.start && vcr_spool_start_time(r->h->gate.pid) == r->h->gate.start;
}

/* While the collector runs it has no reason to end. Whoever was to be led there and found it dead has said so in `state`. */
static void say_gate(struct record *r)
{
	struct stat ns;
	bool near = r->gate > 0 || (r->h->gate.pid > 0 && !stat("/proc/self/ns/pid", &ns) && ns.st_ino == r->h->gate.pid_ns);
	bool ended = near && gate_ended(r) && !runs_unrelated(r);
	ended |= r->h->gate.pid > 0 && __atomic_load_n(&r->h->gate.state, __ATOMIC_ACQUIRE) == VCR_LEAD_ENDED;
	bool over = __atomic_load_n(&r->h->collector, __ATOMIC_ACQUIRE) == VCR_COLLECTOR_ENDED || access(r->spool, F_OK); /* it removes the spool first */
	if (ended && !over)
		vcr_say(r->t, "the gate has ended before the session did: what was passing it was cut, and later calls went to the real hosts");
}

/* It would see by itself that the session has ended, only not at once. */
static void end_gate(struct record *r)
{
	static const char *const files[] = { ".ca.key", ".ca.pem", ".bundle.pem", ".extra.pem", ".hosts" };
	if (__atomic_load_n(&r->h->gate.state, __ATOMIC_ACQUIRE) == VCR_LEAD_NONE && r->gate_words < 0)
		return;
	if (!gate_ended(r))
		kill(r->gate, SIGTERM);
	else if (runs_unrelated(r))
		kill(r->h->gate.pid, SIGTERM);
	for (int ms = 0; (!gate_ended(r) || runs_unrelated(r)) && ms < GATE_MS; ms += 5)
		poll(NULL, 0, 5);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) { /* one that was killed leaves them */
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_add(&path, r->spool, strlen(r->spool) - strlen(".spool"));
		vcr_buf_puts(&path, files[i]);
		unlink(path.data);
	}
}

static void forget_result(struct record *r)
{
	VCR_AUTO_BUF result = VCR_BUF_INIT;
	vcr_control_take_result(r->id, r->awaits, &result, NULL);
	r->awaits = -1;
}

static void finish(struct record *r)
{
	VCR_AUTO_BUF result = VCR_BUF_INIT;
	bool died = collector_ended(r) && r->collector_status;
	if (!died)
		say_gate(r);
	int how = wait_for_collector(r, &result);
	if (how == 0 && (died || r->collector_status)) {
		vcr_say(r->t, "the collector died; what it left is being decoded");
		vcr_control_settle(r->vcr_dir.data, END_MS);
	}
	if (how == 0 && vcr_control_take_result(r->id, r->awaits, &result, NULL))
		vcr_buf_reset(&result);
	else if (how)
		forget_result(r);
	if (how == 1 && !r->t->quiet)
		vcr_say(r->t, "processes of the session still run, so recording goes on; vcr-log --follow %s shows it", r->id);
	if (how == 2)
		vcr_say(r->t, "the session file is still being written in the background");
	else
		vcr_record_tell(r->t, r->id, &result, how == 1);
	if (how == 0) {
		end_gate(r);
		forget_files(r, false);
	}
}

/* Processes that outlive the command for a moment are waited for. True: the collector ends. */
static bool end_txn(struct record *r, bool success)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	int64_t since = now_ms(), left;
	while ((left = processes_left(r, &answer)) > 0 && now_ms() - since < LINGER_MS)
		poll(NULL, 0, SLICE_MS / 5);
	return vcr_record_txn_end(&r->txn, r->t, r->id, r->vcr_dir.data, success, left);
}

/* Beyond the quota of .vcr/config the oldest sessions go; vcr-gc says so. */
static void keep_quota(const struct record *r)
{
	VCR_AUTO_BUF shadow = VCR_BUF_INIT;
	char *const argv[] = { "vcr", "gc", "-q", "--auto", "--vcr-dir", r->vcr_dir.data, NULL };
	if (r->config.quota <= 0 || vcr_paths_state_dir(r->workspace.data, &shadow, NULL) || vcr_buf_puts(&shadow, "/shadow.git") ||
	    vcr_usage(r->vcr_dir.data) + vcr_usage(shadow.data) <= r->config.quota)
		return;
	if (vcr_run_verb(argv) < 0)
		vcr_say(r->t, "the quota is reached, and vcr-gc cannot be started: %s", strerror(errno));
}

/* A limit of the user's is the command's, which has been forked; ours may be as high as it gets, and beyond it we want an error, not a signal. */
static void own_limits(void)
{
	struct rlimit l;
	signal(SIGXFSZ, SIG_IGN);
	if (!getrlimit(RLIMIT_FSIZE, &l)) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_FSIZE, &l);
	}
}

/* Where no descriptor or process is to be had, there is none for a parent either: the command takes our place. */
static int become(const struct record *r, char **argv, const char *why)
{
	vcr_say(r->t, "NOT RECORDED: %s; the command runs without", why);
	fflush(NULL);
	execvp(argv[0], argv);
	int status = errno == ENOENT ? 127 : 126;
	vcr_say(r->t, "%s: %s", argv[0], strerror(errno));
	return status;
}

/* The command waits for its orders and will have none. */
static int give_up(struct record *r, bool recorded)
{
	int status;
	kill(r->run.pid, SIGKILL);
	vcr_run_wait(&r->run, &status);
	vcr_record_txn_drop(&r->txn);
	if (recorded)
		finish(r);
	else
		forget_result(r);
	return EXIT_RECORDER;
}

static int record(struct record *r, char **argv)
{
	struct vcr_error e = { 0 };
	int status = 0;
	r->run.supervised = r->supervise;
	r->run.own_numbers = r->deterministic && !r->supervise;
	r->run.sealed = r->seal ? &r->sealed : NULL;
	if (r->txn.wanted && (status = vcr_record_txn_open(&r->txn, r->t, r->id, &r->workspace, r->vcr_dir.data)))
		return status;
	if (r->deterministic)
		vcr_outsider_apply_terms(r->t, &r->terms);
	if (vcr_run_fork(&r->run, argv, &e)) {
		if (!r->txn.open && !r->deterministic)
			return become(r, argv, e.what);
		vcr_record_txn_drop(&r->txn);
		vcr_say(r->t, "%s; the command is not run", e.what);
		return EXIT_RECORDER;
	}
	vcr_buf_puts(&r->agent, "agent=");
	for (int i = 0; i <= r->meta.n; i++)
		if (i == r->meta.n)
			vcr_agent_identity(argv, &r->agent);
		else if (!strncmp(r->meta.item[i], "agent=", 6))
			break; /* the user says it */
	own_limits();
	enum vcr_target target = vcr_preload_target(argv[0]);
	if (!r->lane && vcr_target_is_lent(target))
		r->lane = "auto"; /* nobody is there who could start a gate on need */
	bool recorded = prepare(r), gated = recorded && __atomic_load_n(&r->h->gate.state, __ATOMIC_ACQUIRE) == VCR_LEAD_READY;
	if (recorded && !vcr_target_hands_on(target))
		vcr_say(r->t, "%s cannot take the library (another word size or libc, ASan's runtime, or set-id): only what happens to files is recorded%s", argv[0],
			gated && vcr_target_is_lent(target) ? ", and model calls that heed HTTPS_PROXY" : "");
	if (r->deterministic)
		vcr_outsider_say_chance(r->t, target, argv[0], &r->run);
	if (recorded && target != VCR_TARGET_TAKES)
		__atomic_store_n(&r->h->strangers, 1, __ATOMIC_RELEASE);
	if (recorded && !vcr_target_takes(target))
		vcr_outsider_begins(r->spool, r->run.pids.number, argv);
	r->run.notes = recorded && r->notes.len ? r->notes.data : NULL;
	r->run.supervised &= recorded;
	if (r->seal && !(recorded && furnish(r)))
		return give_up(r, recorded);
	if (r->deterministic && !gated) {
		vcr_say(r->t, "--deterministic is not to be had without a gate; the command is not run");
		return give_up(r, recorded);
	}
	if (r->txn.open && (!recorded || vcr_record_txn_begin(&r->txn, r->t, r->id)))
		return give_up(r, recorded);
	vcr_run_start(&r->run, recorded ? r->preload.data : NULL, recorded ? r->spool : NULL, target, gated ? &r->h->gate : NULL);
	if (r->run.supervised && supervise(r, &e))
		vcr_say(r->t, "--supervise: %s; the command is not run", e.what);
	if (vcr_run_wait(&r->run, &status)) {
		vcr_say(r->t, "lost sight of the command: %s", strerror(errno));
		return EXIT_RECORDER;
	}
	if (recorded && !vcr_target_takes(target))
		vcr_outsider_ended(r->spool, r->run.pids.number, status);
	if (r->txn.open && !end_txn(r, WIFEXITED(status) && !WEXITSTATUS(status)))
		forget_result(r);
	else if (recorded)
		finish(r), keep_quota(r);
	else
		forget_result(r);
	vcr_supervised_say(&r->supervised, r->t);
	vcr_supervised_end(&r->supervised);
	if (e.code)
		return EXIT_RECORDER;
	return vcr_run_exit(&r->run, status);
}

static void release(struct record *r)
{
	vcr_opt_list_release(&r->tags);
	vcr_opt_list_release(&r->meta);
	vcr_opt_list_release(&r->connect_to);
	vcr_config_release(&r->config);
	vcr_buf_release(&r->vcr_dir);
	vcr_buf_release(&r->workspace);
	vcr_buf_release(&r->preload);
	vcr_buf_release(&r->notes);
	vcr_buf_release(&r->agent);
	vcr_buf_release(&r->terms_text);
	vcr_sealed_release(&r->sealed);
	vcr_record_txn_release(&r->txn);
	free(r->spool);
}

int vcr_verb_record(struct vcr_tool *t, int argc, char **argv)
{
	struct record r = { .t = t, .vcr_dir = VCR_BUF_INIT, .workspace = VCR_BUF_INIT, .preload = VCR_BUF_INIT, .notes = VCR_BUF_INIT, .agent = VCR_BUF_INIT, .terms_text = VCR_BUF_INIT, .collector_words = -1, .gate_words = -1, .awaits = -1,
		.sealed = VCR_SEALED_INIT, .txn = VCR_RECORD_TXN_INIT };
	const struct vcr_opt opts[] = {
		{ 't', "tag", "TAG", VCR_OPT_LIST, &r.tags, "a tag of the session; may be given several times" },
		{ 'm', "meta", "KEY=VALUE", VCR_OPT_LIST, &r.meta, "an entry of its metadata; may be given several times" },
		{ 's', "session", "ID", VCR_OPT_STRING, &r.session, "its id, instead of one made from date and time" },
		{ 'l', "lane", "LANE", VCR_OPT_STRING, &r.lane, "tap: watch; gate: model calls pass through us; auto (default): those that cannot be tapped" },
		{ 0, "connect-to", "H1:P1:H2:P2", VCR_OPT_LIST, &r.connect_to, "the gate connects to H2:P2 where H1:P1 is asked for, as curl does" },
		{ 0, "cacert", "FILE", VCR_OPT_STRING, &r.cacert, "whom the gate trusts, instead of the system's roots" },
		{ 'c', "capture", "WHAT", VCR_OPT_STRING, &r.capture, "models (default): their calls; all: every HTTP exchange, and what tools print, for vcr-replay --hermetic" },
		{ 'b', "burst", "N", VCR_OPT_STRING, &r.burst, "so many file changes of one place have frames of their own (100), the rest is one; off: all have" },
		{ 0, "sentinel", "HOW", VCR_OPT_MAYBE, &r.sentinel, "judge the code that is written: observe (default), warn the agent, block it, block:stop the run" },
		{ 0, "test-command", "CMD", VCR_OPT_STRING, &r.test_command, "run the tests so (sh -c) at each savepoint with changes, and record how they ended" },
		{ 0, "test-timeout", "SECONDS", VCR_OPT_STRING, &r.test_timeout, "how long one run of them may take (120)" },
		{ 0, "supervise", NULL, VCR_OPT_FLAG, &r.supervise, "see static programs' file changes and connects too; setuid programs will not work" },
		{ 0, "sealed", NULL, VCR_OPT_FLAG, &r.seal, "in namespaces of its own: no network but the gate, with its own hosts file and certificates" },
		{ 0, "deterministic", NULL, VCR_OPT_FLAG, &r.deterministic, "clock and random bytes that vcr-replay --deterministic gives again; only model hosts can be reached" },
		{ 0, "txn", NULL, VCR_OPT_FLAG, &r.txn.wanted, "a transaction: vcr-txn commits it or takes it back afterwards" },
		{ 'i', "isolate", NULL, VCR_OPT_FLAG, &r.txn.isolate, "a transaction, and COMMAND runs in a git work tree of its own, which commit merges" },
		{ 0, "commit-on-success", NULL, VCR_OPT_FLAG, &r.txn.commit_on_success, "a transaction, committed if COMMAND succeeds" },
		{ 0, "rollback-on-failure", NULL, VCR_OPT_FLAG, &r.txn.rollback_on_failure, "a transaction, taken back if COMMAND fails" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[--] COMMAND [ARGUMENT]...", "Run COMMAND and record its model calls, file changes and programs.", opts, true };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	r.txn.wanted |= r.txn.isolate || r.txn.commit_on_success || r.txn.rollback_on_failure;
	if (n == 0)
		status = vcr_wrong_call(t, "which command? vcr-record -- COMMAND");
	else if (n > 0 && !(status = check_call(&r)))
		status = record(&r, argv);
	release(&r);
	return status;
}
