/* savepoint-flush.c — the objects that a rollback must not lose, on their way to the disk (flush.h). */
#include "savepoint-parts.h"
#include "flush.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_SETTLED = 1 << 20 };

void vcr_store_track(struct vcr_store *s)
{
	s->tracks = true;
}

void vcr_store_note(struct vcr_store *s, const unsigned char oid[VCR_OID])
{
	if (!s->tracks || s->untracked)
		return;
	if (s->nused == s->cap_used) {
		size_t cap = s->cap_used ? s->cap_used * 2 : 256;
		void *list = reallocarray(s->used, cap, sizeof *s->used);
		if (!list) {
			s->untracked = true;
			return;
		}
		s->used = list;
		s->cap_used = cap;
	}
	memcpy(s->used[s->nused++], oid, VCR_OID);
}

static int by_oid(const void *a, const void *b)
{
	return memcmp(a, b, VCR_OID);
}

static bool is_settled(const struct vcr_store *s, const unsigned char oid[VCR_OID])
{
	return s->nsettled && bsearch(oid, s->settled, s->nsettled, VCR_OID, by_oid);
}

/* Each once, and none that the disk has. */
static void forget_doubles(struct vcr_store *s)
{
	size_t n = 0;
	if (s->nused)
		qsort(s->used, s->nused, sizeof *s->used, by_oid);
	for (size_t i = 0; i < s->nused; i++)
		if ((!n || memcmp(s->used[n - 1], s->used[i], VCR_OID)) && !is_settled(s, s->used[i]))
			memmove(s->used[n++], s->used[i], VCR_OID);
	s->nused = n;
}

void vcr_store_unsettle(struct vcr_store *s)
{
	free(s->settled);
	s->settled = NULL;
	s->nsettled = 0;
}

void vcr_store_flushed(struct vcr_store *s)
{
	forget_doubles(s);
	void *all = s->nused && s->nsettled + s->nused <= MOST_SETTLED ? reallocarray(s->settled, s->nsettled + s->nused, sizeof *s->settled) : NULL;
	if (all) {
		s->settled = all;
		memcpy(s->settled + s->nsettled, s->used, s->nused * sizeof *s->used);
		s->nsettled += s->nused;
		qsort(s->settled, s->nsettled, sizeof *s->settled, by_oid);
	}
	s->nused = 0;
	s->untracked = false;
}

/* Which of them hold tracked objects is not asked: those that are clean cost an open each. */
static int flush_packs(int objects, bool wait)
{
	int err = 0;
	int fd = openat(objects, "pack", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *ent;
	if (!d && fd >= 0)
		close(fd);
	while (d && !err && (ent = readdir(d)))
		if (*ent->d_name != '.')
			err = vcr_flush_file(fd, ent->d_name, wait);
	if (d)
		closedir(d);
	return err;
}

int vcr_store_flush(struct vcr_store *s, bool wait)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (!s->tracks || s->untracked)
		return 1;
	vcr_buf_printf(&path, "%s/objects", s->git_dir);
	int objects = open(path.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = objects < 0 || !vcr_flush_in_order(objects);
	if (!err) {
		forget_doubles(s);
		err = flush_packs(objects, wait);
	}
	for (size_t i = 0; !err && i < s->nused; i++) {
		char hex[41], name[48];
		vcr_store_hex(s->used[i], hex);
		snprintf(name, sizeof name, "%.2s/%s", hex, hex + 2);
		err = vcr_flush_file(objects, name, wait);
	}
	if (objects >= 0)
		close(objects);
	return err;
}
