/* vcr diff — two frames, or two whole sessions, compared. */
#include "diffing.h"
#include "options.h"
#include "verbs.h"
#include <string.h>

static bool is_frame(const char *s)
{
	return (*s && s[strspn(s, "0123456789")] == 0) || !strncmp(s, "call:", 5) || !strcmp(s, "start") || !strcmp(s, "end") || *s == '@';
}

static int resolve(struct vcr_diffing *x, struct vcr_reader *r, const char *frame, int64_t *index)
{
	struct vcr_error e = { 0 };
	return vcr_reader_resolve(r, frame, index, &e) ? vcr_failed(x->t, &e) : 0;
}

static int frames_of_one(struct vcr_diffing *x, const char *session, const char *a, const char *b)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	int64_t ia, ib;
	int status = vcr_tool_open_session(x->t, session, &r, &path);
	if (status || (status = resolve(x, r, a, &ia)) || (status = resolve(x, r, b, &ib)))
		return status;
	return vcr_diff_frames(x, r, ia, r, ib);
}

static int across(struct vcr_diffing *x, const char *a, const char *frame_a, const char *b, const char *frame_b)
{
	VCR_AUTO_READER *ra = NULL, *rb = NULL;
	VCR_AUTO_BUF pa = VCR_BUF_INIT, pb = VCR_BUF_INIT;
	int64_t ia, ib;
	int status = vcr_tool_open_session(x->t, a, &ra, &pa);
	if (status || (status = vcr_tool_open_session(x->t, b, &rb, &pb)))
		return status;
	if (!frame_a)
		return vcr_diff_sessions(x, ra, rb);
	if ((status = resolve(x, ra, frame_a, &ia)) || (status = resolve(x, rb, frame_b, &ib)))
		return status;
	return vcr_diff_frames(x, ra, ia, rb, ib);
}

/* F F, S F F, S S, S F S F: told apart by what a frame looks like. */
static int choose(struct vcr_diffing *x, int n, char **argv)
{
	char shape[8] = "";
	for (int i = 0; i < n && i < 7; i++)
		shape[i] = is_frame(argv[i]) ? 'F' : 'S';
	if (!strcmp(shape, "FF"))
		return frames_of_one(x, NULL, argv[0], argv[1]);
	if (!strcmp(shape, "SFF"))
		return frames_of_one(x, argv[0], argv[1], argv[2]);
	if (!strcmp(shape, "SS"))
		return across(x, argv[0], NULL, argv[1], NULL);
	if (!strcmp(shape, "SFSF"))
		return across(x, argv[0], argv[1], argv[2], argv[3]);
	if (!strcmp(shape, "SF") || !strcmp(shape, "F"))
		return vcr_wrong_call(x->t, "which frame is frame %s to be compared with? vcr-diff [SESSION] FRAME FRAME", argv[n - 1]);
	if (!strcmp(shape, "S"))
		return vcr_wrong_call(x->t, "what is %s to be compared with? vcr-diff SESSION SESSION", argv[0]);
	return vcr_wrong_call(x->t, "compare two frames or two sessions: vcr-diff [SESSION] FRAME FRAME, vcr-diff SESSION SESSION");
}

int vcr_verb_diff(struct vcr_tool *t, int argc, char **argv)
{
	struct vcr_diffing x = { .t = t };
	const struct vcr_opt opts[] = {
		{ 'w', "words", NULL, VCR_OPT_FLAG, &x.words, "show every changed text word by word, not by lines" },
		{ 0, "stat", NULL, VCR_OPT_FLAG, &x.stat, "only how much differs" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION] FRAME FRAME | SESSION SESSION | SESSION FRAME SESSION FRAME",
		"Compare two frames, or two whole sessions. Exit status 0: the same, 1: different. FRAME is as in vcr-show.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	return n < 0 ? status : choose(&x, n, argv);
}
