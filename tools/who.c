#include "who.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SESSIONS = 64, MAX_PATHS = 100000 };

static int by_path(const void *a, const void *b)
{
	const struct vcr_who *x = a, *y = b;
	int c = strcmp(x->path, y->path);
	return c ? c : x->time_ns != y->time_ns ? (x->time_ns < y->time_ns ? -1 : 1) : (x->frame > y->frame) - (x->frame < y->frame);
}

static void add(struct vcr_who_index *x, const char *path, const struct vcr_who *who)
{
	if (x->n == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 64;
		struct vcr_who *v = cap <= MAX_PATHS * 2 ? reallocarray(x->v, cap, sizeof *v) : NULL;
		if (!v)
			return;
		x->v = v;
		x->cap = cap;
	}
	x->v[x->n] = *who;
	if ((x->v[x->n].path = strdup(path)))
		x->n++;
	x->sorted = false;
}

static void take(struct vcr_who_index *x, const struct vcr_reader_frame *f, const char *session)
{
	struct vcr_who who = { .frame = f->index, .time_ns = f->time_ns };
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	static const char *const keys[] = { "path", "old_path" };
	if (f->vcr < 0 || !vcr_json_is(f->j, vcr_json_get(f->j, f->vcr, "source"), "shim"))
		return;
	snprintf(who.session, sizeof who.session, "%s", session);
	if (!vcr_json_str(f->j, vcr_json_get(f->j, f->vcr, "program"), &text))
		snprintf(who.program, sizeof who.program, "%s", text.data);
	vcr_json_int(f->j, vcr_json_get(f->j, f->vcr, "pid"), &who.pid);
	for (int i = 0; i < 2; i++) {
		vcr_buf_reset(&text);
		if (!vcr_json_str(f->j, vcr_json_get(f->j, f->input, keys[i]), &text) && strlen(text.data) == text.len)
			add(x, text.data, &who);
	}
}

void vcr_who_add(struct vcr_who_index *x, struct vcr_reader *r, const char *session, int64_t since_ns)
{
	int64_t n = vcr_reader_count(r);
	for (int64_t i = n - 1; i >= 0 && x->n < MAX_PATHS; i--) {
		struct vcr_reader_brief b = vcr_reader_brief(r, i);
		struct vcr_reader_frame f;
		if (b.time_ns < since_ns)
			break;
		if (!strcmp(b.type, "tool") && !vcr_reader_frame(r, i, &f, NULL) && !strncmp(f.node_name, "file:", 5))
			take(x, &f, session);
	}
}

static bool is_fresh(const char *path, int64_t since_ns)
{
	struct stat st;
	return !lstat(path, &st) && S_ISREG(st.st_mode) && (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec >= since_ns;
}

void vcr_who_add_others(struct vcr_who_index *x, const char *vcr_dir, const char *but, int64_t since_ns)
{
	DIR *d = opendir(vcr_dir);
	struct dirent *ent;
	int seen = 0;
	while (d && (ent = readdir(d)) && seen < MAX_SESSIONS) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		struct vcr_reader *r;
		size_t n = strlen(ent->d_name);
		if (n < 5 || strcmp(ent->d_name + n - 4, ".vcr"))
			continue;
		vcr_buf_printf(&path, "%s/%s", vcr_dir, ent->d_name);
		if (!is_fresh(path.data, since_ns) || vcr_reader_open(&r, path.data, NULL, NULL, NULL))
			continue;
		const char *id = vcr_reader_header(r)->session_id;
		if (strcmp(id, but)) {
			seen++;
			vcr_who_add(x, r, id, since_ns);
		}
		vcr_reader_free(r);
	}
	if (d)
		closedir(d);
}

const struct vcr_who *vcr_who_find(struct vcr_who_index *x, const char *path)
{
	size_t low = 0, high = x->n;
	if (!x->sorted && x->n)
		qsort(x->v, x->n, sizeof *x->v, by_path);
	x->sorted = true;
	while (low < high) { /* the first that is behind it */
		size_t middle = low + (high - low) / 2;
		if (strcmp(x->v[middle].path, path) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && !strcmp(x->v[low - 1].path, path) ? &x->v[low - 1] : NULL;
}

void vcr_who_release(struct vcr_who_index *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->v[i].path);
	free(x->v);
	*x = (struct vcr_who_index){ 0 };
}
