/* reader-ahead.c — the lines of a large file, found by several threads.
 *
 * Opening is bound by getting the bytes out of the page cache, and one core does not saturate the memory. The file is cut into as many parts as
 * there are cores; a line belongs to the part in which it begins, and since no line holds a newline byte of its own, a part begins
 * behind the first newline at or after its cut. Only the plain cases are decided here: a frame of a common type with a good timestamp, and a line
 * of ours. Every other line is handed over as found, and looked at again by the one thread that owns the reader: most bytes of a session are
 * bodies, and these are not read twice. */
#include "reader-parts.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 1 << 18, LONGEST = 16 << 20 /* longer lines are for the slow way */, PART_BYTES = 4 << 20, FEWEST_BYTES = 128 /* per line */ };

struct job { int fd; uint64_t from, to; struct vcr_found_part *part; bool failed; };

static struct vcr_found *new_found(struct job *j)
{
	struct vcr_found_part *p = j->part;
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 4096;
		/* a file of tiny lines would cost more memory than it is worth */
		if (cap > 8192 && cap > (j->to - j->from) / FEWEST_BYTES)
			return NULL;
		struct vcr_found *v = realloc(p->v, cap * sizeof *v);
		if (!v)
			return NULL;
		p->v = v;
		p->cap = cap;
	}
	return &p->v[p->n++];
}

/* NULL: none of these. */
static const char *common_type(const struct vcr_span *s, const char *const *types)
{
	for (; *types; types++)
		if (s->p && s->n == strlen(*types) && !memcmp(s->p, *types, s->n))
			break;
	return *types;
}

static bool take(struct job *j, const char *p, size_t n, uint64_t offset, int64_t *blank)
{
	static const char *const frames[] = { "llm", "tool", "node", "error", "checkpoint", NULL }, *const others[] = { "vcr.body", "vcr.http", NULL };
	struct vcr_line l;
	vcr_scan_line(p, n, &l);
	if (l.kind == VCR_LINE_BLANK) {
		++*blank;
		return true;
	}
	struct vcr_found *f = new_found(j);
	if (!f)
		return false;
	*f = (struct vcr_found){ .offset = offset, .len = n, .blank = *blank };
	*blank = 0;
	if (l.kind == VCR_LINE_OTHER) {
		f->other = true;
		f->type = common_type(&l.type, others);
		f->id_hash = vcr_reader_hash(l.ref.p ? l.ref.p : "", l.ref.n);
	}
	if (l.kind != VCR_LINE_FRAME || !l.timestamp.p || !vcr_scan_time(l.timestamp.p, l.timestamp.n, &f->time_ns))
		return true;
	f->type = common_type(&l.frame_type, frames);
	f->call = vcr_reader_is_call(f->type, &l);
	f->id_hash = vcr_reader_hash(l.frame_id.p ? l.frame_id.p : "", l.frame_id.n);
	return true;
}

struct part_window { char *p; size_t have, cap; uint64_t base; };

/* 1: more; 0: the end of the file; -1: failure. */
static int fill(struct job *j, struct part_window *w)
{
	if (w->have == w->cap) {
		char *p = w->cap < LONGEST ? realloc(w->p, 2 * w->cap + 1) : NULL;
		if (!p)
			return -1;
		w->p = p;
		w->cap *= 2;
	}
	for (;;) {
		ssize_t n = pread(j->fd, w->p + w->have, w->cap - w->have, (off_t)(w->base + w->have));
		if (n < 0 && errno == EINTR)
			continue;
		w->have += n > 0 ? (size_t)n : 0;
		return n > 0 ? 1 : n < 0 ? -1 : 0;
	}
}

/* Lines that begin in [from, to). */
static bool find_lines(struct job *j, struct part_window *w)
{
	bool begun = !j->from;
	int64_t blank = 0;
	int more;
	w->base = j->from ? j->from - 1 : 0;
	j->part->end = j->from;
	while ((more = fill(j, w)) > 0) {
		char *at = w->p, *end = w->p + w->have, *nl;
		while ((nl = memchr(at, '\n', (size_t)(end - at))) != NULL) {
			uint64_t offset = w->base + (uint64_t)(at - w->p);
			if (begun && offset >= j->to)
				break;
			if (begun && !take(j, at, (size_t)(nl - at), offset, &blank))
				return false;
			at = nl + 1;
			j->part->end = w->base + (uint64_t)(at - w->p);
			begun = true;
		}
		if (begun && w->base + (uint64_t)(at - w->p) >= j->to)
			break;
		w->have = (size_t)(end - at);
		w->base += (uint64_t)(at - w->p);
		memmove(w->p, at, w->have);
	}
	j->part->blank = blank;
	return more >= 0;
}

static void *run(void *arg)
{
	struct job *j = arg;
	struct part_window w = { malloc(WINDOW + 1), 0, WINDOW, 0 };
	j->failed = !w.p || !find_lines(j, &w);
	free(w.p);
	return NULL;
}

static int cores(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/* The threads take no signals: a tool's handlers run where it expects them. */
static void run_all(struct job *job, int n)
{
	pthread_t thread[VCR_FOUND_PARTS];
	bool started[VCR_FOUND_PARTS] = { false };
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (int i = 1; i < n; i++)
		started[i] = !pthread_create(&thread[i], NULL, run, &job[i]);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	run(&job[0]);
	for (int i = 1; i < n; i++)
		if (started[i])
			pthread_join(thread[i], NULL);
		else
			run(&job[i]);
}

int vcr_reader_find_lines(int fd, uint64_t size, struct vcr_found_part part[VCR_FOUND_PARTS])
{
	struct job job[VCR_FOUND_PARTS];
	int n = cores();
	if (n > VCR_FOUND_PARTS)
		n = VCR_FOUND_PARTS;
	if ((uint64_t)n > size / PART_BYTES)
		n = (int)(size / PART_BYTES);
	if (n < 2)
		return 0;
	for (int i = 0; i < n; i++) {
		part[i] = (struct vcr_found_part){ 0 };
		job[i] = (struct job){ .fd = fd, .from = size / (unsigned)n * (unsigned)i, .to = i + 1 == n ? size : size / (unsigned)n * (unsigned)(i + 1), .part = &part[i] };
	}
	run_all(job, n);
	for (int i = 0; i < n; i++)
		if (job[i].failed) {
			for (int k = 0; k < n; k++)
				free(part[k].v);
			return 0;
		}
	return n;
}
