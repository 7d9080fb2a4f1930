/* files-group.c — storms: which changes belong together, and how many there are of them.
 *
 * A build, an unpacking or an installation makes files by the thousand. What it makes, what git ignores and what goes away is counted for each
 * program and place: the place is the topmost directory that is new in this period, is ignored or is gone, else the directory that the
 * file is in. A change of a file that was there before and that git does not ignore is somebody's edit: it belongs to nothing. */
#include "files-parts.h"
#include <stdlib.h>
#include <string.h>

static bool is_new(const struct vcr_files *f, const struct vcr_known *k)
{
	return !k || k->period == f->period;
}

/* The topmost directory above path that is of the kind; its length, 0: none. */
static size_t top_of(struct vcr_files *f, const char *path, bool gone)
{
	char dir[VCR_MAX_BENEATH];
	struct stat st;
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		size_t n = (size_t)(slash - path);
		if (n >= sizeof dir)
			return 0;
		memcpy(dir, path, n);
		dir[n] = 0;
		const struct vcr_known *k = vcr_table_get(&f->table, dir);
		if ((k && k->ignored) || (gone ? !vcr_files_exists(f, dir, &st) : is_new(f, k)))
			return n;
	}
	return 0;
}

static size_t parent_length(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (size_t)(slash - path) : 0;
}

/* As top_of; of the same parent as the last time it is the same. */
static size_t place_of(struct vcr_files *f, const char *path, bool gone, bool *top)
{
	struct vcr_place *p = &f->place[gone];
	size_t n = parent_length(path);
	if (!p->parent || strncmp(p->parent, path, n) || p->parent[n]) {
		free(p->parent);
		p->parent = strndup(path, n);
		p->top = top_of(f, path, gone);
	}
	*top = p->top > 0;
	return p->top ? p->top : n;
}

static struct vcr_group *group_of(struct vcr_files *f, const char *path, size_t n, unsigned who)
{
	uint32_t h = 2166136261u ^ who;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)path[i]) * 16777619u;
	struct vcr_group **slot = &f->group[h % VCR_FILES_GROUPS], *g;
	for (g = *slot; g; g = g->chain)
		if (g->who == who && !strncmp(g->path, path, n) && !g->path[n])
			return g;
	if (!(g = calloc(1, sizeof *g + n + 1)))
		return NULL;
	memcpy(g->path, path, n);
	g->who = who;
	g->chain = *slot;
	f->ngroup++;
	return *slot = g;
}

/* Somebody's edit of what stood there before, unless it lies at an ignored or new place. */
static bool is_own(const struct vcr_files *f, const struct vcr_file_mark *m, const struct vcr_known *k)
{
	const struct vcr_known *from = m->origin && !m->link ? vcr_table_get(&f->table, m->origin) : NULL;
	return (k && k->period != f->period && !k->ignored) || (from && from->period != f->period);
}

void vcr_group_mark(struct vcr_files *f, struct vcr_file_mark *m)
{
	const struct vcr_known *k = vcr_table_get(&f->table, m->path);
	struct stat st;
	if (m->grouped || !f->based || m->moved_away)
		return;
	m->grouped = true;
	bool own = is_own(f, m, k), gone = own && !vcr_files_exists(f, m->path, &st), top;
	size_t n = place_of(f, m->path, gone, &top);
	if (own && !gone && !(top && k && k->ignored))
		return;
	if ((m->group = group_of(f, m->path, n, f->who ? f->who(f->ctx, m->pid) : (unsigned)m->pid)))
		m->group->n++;
}

void vcr_group_forget_places(struct vcr_files *f)
{
	for (int i = 0; i < 2; i++) {
		free(f->place[i].parent);
		f->place[i] = (struct vcr_place){ 0 };
	}
}

void vcr_group_release(struct vcr_files *f)
{
	vcr_group_forget_places(f);
	if (!f->ngroup)
		return;
	for (size_t i = 0; i < f->nmark; i++)
		f->mark[i]->group = NULL;
	for (size_t i = 0; i < VCR_FILES_GROUPS; i++)
		for (struct vcr_group *g = f->group[i], *next; g; g = next) {
			next = g->chain;
			free(g);
		}
	memset(f->group, 0, sizeof f->group);
	f->ngroup = 0;
}

void vcr_files_period(struct vcr_files *f)
{
	vcr_group_release(f);
	f->period++;
}
