#include "standing.h"
#include "control.h"
#include "json.h"
#include "spool.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BASE_MS = 60000, ASK_MS = 60000, END_MS = 60000, STEP_MS = 5 };

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* The first line that the collector left on stderr. */
static int why(int words, struct vcr_error *e)
{
	char line[400];
	ssize_t n = words >= 0 ? pread(words, line, sizeof line - 1, 0) : 0;
	line[n > 0 ? n : 0] = 0;
	line[strcspn(line, "\n")] = 0;
	return vcr_error_set(e, VCR_EIO, "%s", *line ? line : "the collector ended at once");
}

/* It says "ready" also when it gives up; then it ends. */
static int await_base(const struct vcr_spool_header *h, const char *session, pid_t pid, int words, struct vcr_error *e)
{
	for (int ms = 0; ms < BASE_MS; ms += STEP_MS) {
		VCR_AUTO_BUF answer = VCR_BUF_INIT;
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return why(words, e);
		if (__atomic_load_n(&h->base_ready, __ATOMIC_ACQUIRE) && !vcr_control_ask(session, "{\"op\":\"drain\"}", &answer, ASK_MS, NULL))
			return 0;
		pause_ms(STEP_MS);
	}
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return vcr_error_set(e, VCR_EIO, "the files of the workspace could not be looked at within %d s", BASE_MS / 1000);
}

static int run_collector(char *spool, const char *session, struct vcr_error *e)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT;
	pid_t pid;
	int err = vcr_control_collector_path(&program, e), fd = err ? -1 : open(spool, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct vcr_spool_header *h = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *h, PROT_READ, MAP_SHARED, fd, 0);
	int words = memfd_create("vcr-collector", MFD_CLOEXEC);
	char *argv[] = { program.data, "--spool", spool, "--stay", NULL };
	if (!err && h == MAP_FAILED)
		err = vcr_error_sys(e, errno, "%s", spool);
	if (!err && !(err = vcr_control_spawn(argv, words, &pid, e)))
		err = await_base(h, session, pid, words, e);
	if (h != MAP_FAILED)
		munmap(h, sizeof *h);
	if (fd >= 0)
		close(fd);
	if (words >= 0)
		close(words);
	return err;
}

int vcr_standing_start(const char *session, const char *workspace, const char *vcr_dir, struct vcr_error *e)
{
	const struct vcr_spool_make make = { .session_id = session, .start_dir = workspace, .workspace = workspace, .vcr_dir = vcr_dir };
	VCR_AUTO_BUF lock = VCR_BUF_INIT;
	char *spool;
	int err = vcr_spool_create(&make, &spool, e);
	if (err)
		return err;
	if ((err = run_collector(spool, session, e)) && !vcr_buf_printf(&lock, "%s.lock", spool)) {
		unlink(spool);
		unlink(lock.data);
	}
	free(spool);
	return err;
}

int vcr_standing_mark(const char *session, const char *node, const char *message, int64_t to, int64_t *frame, struct vcr_error *e)
{
	VCR_AUTO_BUF request = VCR_BUF_INIT, answer = VCR_BUF_INIT, words = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_jw w;
	int64_t frames = 0;
	vcr_jw_init(&w, &request);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "op");
	vcr_jw_str(&w, "savepoint");
	vcr_jw_key(&w, "node");
	vcr_jw_str(&w, node);
	vcr_jw_key(&w, "message");
	vcr_jw_str(&w, message ? message : "");
	if (to >= 0) {
		vcr_jw_key(&w, "to");
		vcr_jw_int(&w, to);
	}
	vcr_jw_object_end(&w);
	int err = vcr_control_ask(session, request.data, &answer, ASK_MS, e);
	if (err)
		return err;
	if (vcr_json_parse(&j, answer.data, answer.len, 0, NULL) || !vcr_json_true(&j, vcr_json_get(&j, 0, "ok"))) {
		vcr_json_str(&j, vcr_json_get(&j, 0, "error"), &words);
		return vcr_error_set(e, VCR_EIO, "session %s: %s", session, words.len ? words.data : "the collector's answer is not understood");
	}
	if (frame && !vcr_json_int(&j, vcr_json_get(&j, 0, "frames"), &frames))
		*frame = frames - 1;
	return 0;
}

bool vcr_standing_runs(const char *session)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	return !vcr_control_ask(session, "{\"op\":\"status\"}", &answer, ASK_MS, NULL);
}

int vcr_standing_end(const char *session, struct vcr_error *e)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	int err = vcr_control_ask(session, "{\"op\":\"end\"}", &answer, ASK_MS, NULL);
	for (int ms = 0; err != VCR_ENOTFOUND && ms < END_MS; ms += STEP_MS) { /* it does not answer while it writes the end */
		vcr_buf_reset(&answer);
		pause_ms(STEP_MS);
		err = vcr_control_ask(session, "{\"op\":\"end\"}", &answer, STEP_MS * 20, NULL);
	}
	return err == VCR_ENOTFOUND ? 0 : vcr_error_set(e, VCR_EBUSY, "the collector of session %s does not end", session);
}
