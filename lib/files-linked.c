/* files-linked.c — files with several names: what is written under one of them changes under all, and nobody says so. */
#include "files-parts.h"
#include <stdlib.h>

void vcr_linked_note(struct vcr_files *f, uint64_t ino, uint64_t dev)
{
	if (f->nlinked == f->cap_linked) {
		size_t cap = f->cap_linked ? f->cap_linked * 2 : 64;
		struct vcr_inode *linked = f->nlinked < VCR_FILES_MAX_MARKS ? reallocarray(f->linked, cap, sizeof *linked) : NULL;
		if (!linked) {
			f->must_scan = true;
			return;
		}
		f->linked = linked;
		f->cap_linked = cap;
	}
	f->linked[f->nlinked++] = (struct vcr_inode){ ino, dev };
}

void vcr_linked_source(struct vcr_files *f, const char *path)
{
	const struct vcr_known *k = vcr_table_get(&f->table, path);
	if (k && !S_ISDIR(k->mode))
		vcr_linked_note(f, k->ino, k->dev);
}

static int by_number(const void *a, const void *b)
{
	const struct vcr_inode *x = a, *y = b;
	return x->ino != y->ino ? (x->ino < y->ino ? -1 : 1) : x->dev != y->dev ? (x->dev < y->dev ? -1 : 1) : 0;
}

void vcr_linked_mark(struct vcr_files *f, int64_t ns)
{
	size_t n = f->nlinked;
	f->nlinked = 0;
	if (!n)
		return;
	qsort(f->linked, n, sizeof *f->linked, by_number);
	for (struct vcr_known *k = vcr_table_below(&f->table, ""); k; k = k->next_found) {
		const struct vcr_inode key = { k->ino, k->dev };
		struct vcr_file_mark *m;
		if (S_ISDIR(k->mode) || !bsearch(&key, f->linked, n, sizeof *f->linked, by_number) || vcr_files_find_mark(f, k->path) || !(m = vcr_files_mark_path(f, k->path, ns)))
			continue;
		m->seen = true;
	}
}
