/* judge.h — the judge of what an agent writes: another program, asked over a socket, which may be slow, wrong or dead without harm to who asks.
 *
 * The program has one stream socket as its standard input and output. Questions are lines of JSON, each with the bytes that it announces behind it; answers are
 * lines of JSON, in the order of the questions. The first line is no question:
 *
 *   {"judge":1,"workspace":"/w","config":"/w/.vcr/sentinel.conf","blocks":false,"state":"/run/s.judged","conf":120,"baseline":null}     then 120 bytes
 *   {"id":7,"path":"src/a.py","before":812,"after":1044}           then 812 and 1044 bytes
 *
 * conf, baseline: the texts of sentinel.conf and of the baseline beside it as the session found them, by their sizes; null: there was none; absent: what stands there
 * is to be read. Each program of a session is told the same, whatever has become of the files.
 * state: a file of the judge's own, null if there is none: what one that dies has written there, the next one of the session may read, and know what stood in a file
 * before the session, whoever has been asked first.
 * path: relative to the workspace where it lies in it; before, after: the file's content before and after a change, by its size; null: there was, or is,
 * no such file; blocks: a comment that was not there before allows no blocker; "before" absent: not known. What was answered for a path before is what the next answer is compared with.
 *
 *   {"id":7,"passed":false,"violations":[V...],"corrected":[V...],"metrics":{...}}
 *   {"id":7,"skipped":"no grammar for .txt"}
 *   V: {"key":"function-length:src/a.py:f","rule":"function-length","severity":"critical","path":"src/a.py","line":12,"name":"f","message":"...","state":"new"}
 *
 * key: the same for the same finding whatever moves around it. severity: blocker, critical, warning or info. state: new or worse (by this change), old (it stood
 * there before). corrected: findings of earlier answers that this change ended. metrics: anything. Other members are kept as they are.
 *
 * One question at a time is with the program. It is started with the first one, has memory_mb at most, and timeout_ms for each answer; when it dies, is late or
 * answers nonsense, the question is given up, and another program is started for the next, STARTS times in all. Nothing here blocks: the caller polls. */
#ifndef VCR_JUDGE_H
#define VCR_JUDGE_H
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include "json.h"

struct vcr_judge;
struct vcr_judge_text { const char *p; size_t n; enum { VCR_JUDGE_UNKNOWN, VCR_JUDGE_ABSENT, VCR_JUDGE_PRESENT } is; };
struct vcr_judge_options {
	const char *program;       /* its path, and with which words it is started; borrowed */
	const char *const *argv;
	const char *workspace, *config, *state; /* config and state may be NULL */
	struct vcr_judge_text conf, baseline; /* borrowed */
	bool blocks;               /* comments that were not there before allow no blocker */
	int timeout_ms, memory_mb; /* 0: 10 s, 2048 */
	/* What became of a question: its answer; or NULL, and why there is none. tag: the question's. */
	void (*answered)(void *ctx, void *tag, const struct vcr_json *answer, const char *why);
	/* All questions before vcr_judge_mark have been answered or given up. */
	void (*reached)(void *ctx, uint64_t mark);
	void *ctx;
};
int vcr_judge_new(struct vcr_judge **j, const struct vcr_judge_options *o);
/* Ends the program; questions that are left are given up. */
void vcr_judge_free(struct vcr_judge *j);

/* It has died too often, or cannot be started: no question will be answered any more. */
bool vcr_judge_is_gone(const struct vcr_judge *j);

/* It may be started now, so that the first question finds it ready. */
void vcr_judge_start(struct vcr_judge *j);

/* The texts are copied. Beyond VCR_MAX_JUDGE_QUEUE a question is given up at once. `answered` and `reached` may be called from within. */
void vcr_judge_ask(struct vcr_judge *j, const char *path, struct vcr_judge_text before, struct vcr_judge_text after, void *tag);
void vcr_judge_mark(struct vcr_judge *j, uint64_t mark);

/* 1 and what to poll for, or 0. */
int vcr_judge_pollfd(const struct vcr_judge *j, struct pollfd *fd);
/* Milliseconds until it is to be looked at again although nothing came; -1: never. */
int vcr_judge_timeout(const struct vcr_judge *j);
/* Go on: write, read, start, end; never blocks. */
void vcr_judge_serve(struct vcr_judge *j);
/* Serve until nothing is left, so long at most; what is left then is given up. */
void vcr_judge_finish(struct vcr_judge *j, int ms);

#endif
