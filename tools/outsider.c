#include "outsider.h"
#include "buf.h"
#include "program.h"
#include "spool-write.h"
#include <linux/limits.h> /* <limits.h> would be lib/limits.h */
#include <string.h>
#include <time.h>
#include <unistd.h>

static void announce(const char *spool, uint32_t type, const void *head, size_t nhead, const struct vcr_buf *text)
{
	struct vcr_spool_writer *w;
	struct timespec t;
	if (vcr_spool_writer_new(&w, spool, NULL))
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	vcr_spool_writer_append(w, &(struct vcr_spool_append){
		.type = type, .head = head, .nhead = nhead, .data = text->data, .n = text->len,
		.time_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec });
	vcr_spool_writer_ring(w);
	vcr_spool_writer_free(w);
}

void vcr_outsider_begins(const char *spool, pid_t pid, char *const argv[])
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	struct vcr_rec_exec e = { .child = pid, .kind = VCR_EXEC_SPAWN };
	char path[PATH_MAX], cwd[PATH_MAX];
	const char *first[] = { vcr_program_find(argv[0], NULL, path) ? path : argv[0], getcwd(cwd, sizeof cwd) ? cwd : "" };
	for (int i = 0; i < 2; i++)
		vcr_buf_add(&text, first[i], strlen(first[i]) + 1);
	for (; argv[e.argc] && e.argc < 4096 && text.len < 64 << 10; e.argc++)
		vcr_buf_add(&text, argv[e.argc], strlen(argv[e.argc]) + 1);
	announce(spool, VCR_REC_EXEC, &e, sizeof e, &text);
}

void vcr_outsider_ended(const char *spool, pid_t pid, int status)
{
	const struct vcr_rec_exit e = { .child = pid, .status = status, .source = VCR_EXIT_WAIT };
	announce(spool, VCR_REC_EXIT, &e, sizeof e, &(struct vcr_buf)VCR_BUF_INIT);
}

void vcr_outsider_apply_terms(const struct vcr_tool *t, const struct vcr_determ_terms *terms)
{
	VCR_AUTO_BUF set = VCR_BUF_INIT;
	vcr_determ_terms_apply(terms, &set);
	if (set.len && !t->quiet)
		vcr_say(t, "set for the command, so that agents report to nobody but their model and node reads files in turn: %s (one that is set already, be it to nothing, stays)", set.data);
}

void vcr_outsider_say_chance(const struct vcr_tool *t, enum vcr_target target, const char *command, const struct vcr_run *run)
{
	if (!run->pids.ns)
		vcr_say(t, "process numbers are the kernel's, and others in each run: %s", run->own_numbers ? run->why_not.what : "--supervise wants them so");
	if (target >= VCR_TARGET_GO)
		vcr_say(t, "%s cannot be given a clock or chance: it is static, of Go or of another libc", command);
}

void vcr_outsider_say_tools(const struct vcr_tool *t, enum vcr_target target, const char *command)
{
	if (target >= VCR_TARGET_GO)
		vcr_say(t, "%s is static, of Go or of another libc%s", command, vcr_target_hands_on(target) ? VCR_LOST_SOME_TOOLS : VCR_LOST_TOOLS);
}
