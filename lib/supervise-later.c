/* supervise-later.c — file marks that wait for their call: it is told before it is made, and may fail. What has changed afterwards says that it
 * was made; a thread that makes its next call has had the answer to the one before. */
#include "supervise-parts.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GIVE_UP_MS = 1000, LONGEST_MS = 50 };

static void look(const char *path, struct stat *st)
{
	if (!path || !*path || lstat(path, st))
		memset(st, 0, sizeof *st);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_nlink && b->st_nlink && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool happened(const struct vcr_later *m)
{
	struct stat now, other;
	look(m->path, &now);
	look(m->path2, &other);
	switch (m->op) {
	case VCR_FILE_OPEN:
		if (!m->before.st_nlink)
			return now.st_nlink;
		return !same_file(&m->before, &now) || !same_time(&m->before.st_mtim, &now.st_mtim) || now.st_size != m->before.st_size;
	case VCR_FILE_TRUNCATE: return !same_time(&m->before.st_ctim, &now.st_ctim);
	case VCR_FILE_RENAME: return same_file(&m->before, &other) && !same_file(&m->before, &now);
	case VCR_FILE_EXCHANGE: return same_file(&m->before, &other) && same_file(&m->other, &now);
	case VCR_FILE_UNLINK: case VCR_FILE_RMDIR: return m->before.st_nlink && !same_file(&m->before, &now);
	case VCR_FILE_LINK: return other.st_nlink && !same_file(&m->other, &other);
	case VCR_FILE_MKDIR: return now.st_nlink && !m->before.st_nlink;
	case VCR_FILE_MODE: return !same_time(&m->before.st_ctim, &now.st_ctim);
	default: return true;
	}
}

static void append(struct vcr_supervise *s, const struct vcr_later *m)
{
	struct vcr_rec_file rec = { .op = m->op, .flags = m->flags, .fd = -1, .existed = m->existed };
	size_t n = strlen(m->path) + 1, n2 = m->path2 ? strlen(m->path2) + 1 : 1;
	char text[2 * PATH_MAX];
	memcpy(text, m->path, n);
	memcpy(text + n, m->path2 ? m->path2 : "", n2);
	vcr_supervise_append(s, VCR_REC_FILE, m->pid, &rec, sizeof rec, text, n + n2);
}

/* Whose doing it will be, if anything is done: the mark itself may come after somebody has looked. */
static void announce(struct vcr_supervise *s, const struct vcr_later *m)
{
	struct vcr_later neutral = *m;
	neutral.op = VCR_FILE_MODE;
	append(s, &neutral);
}

static void drop(struct vcr_supervise *s, struct vcr_later *m)
{
	free(m->path);
	free(m->path2);
	m->path = m->path2 = NULL;
	m->used = false;
	s->nlater--;
}

/* over: the call has had its answer, or must have had. */
static bool settle(struct vcr_supervise *s, struct vcr_later *m, bool over)
{
	bool done = happened(m);
	if (!done && !over)
		return false;
	/* a file that was opened and not emptied, or not found changed, is a file that may be written */
	if (!done && m->op == VCR_FILE_OPEN && m->before.st_nlink) {
		m->flags &= ~(uint32_t)O_TRUNC;
		done = true;
	}
	if (done)
		append(s, m);
	drop(s, m);
	return true;
}

void vcr_later_settle(struct vcr_supervise *s, int tid)
{
	uint64_t now = s->nlater ? vcr_supervise_now() : 0;
	for (int i = 0; s->nlater && i < VCR_LATER; i++)
		if (s->later[i].used)
			settle(s, &s->later[i], s->later[i].tid == tid || now > s->later[i].since_ns + GIVE_UP_MS * 1000000ull);
}

void vcr_later_ends(struct vcr_supervise *s, int tid)
{
	struct vcr_seen *p = s->nlater ? vcr_seen_of(s, tid) : NULL;
	for (int i = 0; p && vcr_seen_whole(s, p) && i < VCR_LATER; i++)
		if (s->later[i].used && s->later[i].pid == p->pid)
			settle(s, &s->later[i], true);
}

void vcr_later_add(struct vcr_supervise *s, const struct vcr_later *mark, const char *path, const char *path2)
{
	int at = 0;
	for (int i = 0; i < VCR_LATER; i++) {
		if (!s->later[i].used) {
			at = i;
			break;
		}
		if (s->later[i].since_ns < s->later[at].since_ns)
			at = i;
	}
	struct vcr_later *m = &s->later[at];
	if (m->used)
		settle(s, m, true);
	*m = *mark;
	m->used = true;
	s->nlater++;
	m->path = strdup(path);
	m->path2 = path2 ? strdup(path2) : NULL;
	m->since_ns = vcr_supervise_now();
	if (!m->path || (path2 && !m->path2)) {
		drop(s, m);
		return;
	}
	look(m->path, &m->before);
	look(m->path2, &m->other);
	m->existed = m->before.st_nlink != 0;
	if (m->op == VCR_FILE_OPEN && m->existed && !(m->flags & O_TRUNC)) { /* nothing will show it */
		append(s, m);
		drop(s, m);
	} else if (!path2) {
		announce(s, m);
	}
}

int vcr_later_timeout(const struct vcr_supervise *s)
{
	uint64_t youngest = 0;
	for (int i = 0; s->nlater && i < VCR_LATER; i++)
		if (s->later[i].used && s->later[i].since_ns > youngest)
			youngest = s->later[i].since_ns;
	if (!youngest)
		return -1;
	uint64_t ms = (vcr_supervise_now() - youngest) / 1000000;
	return ms < 1 ? 1 : ms < LONGEST_MS ? (int)ms : LONGEST_MS;
}

void vcr_later_release(struct vcr_supervise *s)
{
	for (int i = 0; i < VCR_LATER; i++)
		if (s->later[i].used)
			settle(s, &s->later[i], true);
}
