/* log-sessions.c — vcr log without a session: one line for each, newest first. */
#include "../lib/config.h" /* not configure's */
#include "log.h"
#include "paths.h"
#include "usage.h"
#include "words.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct listed {
	char *path, *id, *parent, *tags;
	const char *state;
	int64_t began_ns, last_ns, frames, calls, errors, tokens, forked_from;
	double cost;
};
struct list { struct listed *v; size_t n, cap; };

static void release(struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].path);
		free(l->v[i].id);
		free(l->v[i].parent);
		free(l->v[i].tags);
	}
	free(l->v);
}

static struct listed *add(struct list *l)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct listed *v = realloc(l->v, cap * sizeof *v);
		if (!v)
			return NULL;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = (struct listed){ 0 };
	return &l->v[l->n++];
}

/* A session is listed when its tags fit and, if frames are asked for, one of its frames does. */
static bool passes(struct vcr_log *l, struct vcr_reader *r, const struct vcr_reader_session *s)
{
	int64_t n = vcr_reader_count(r);
	if (!vcr_filter_session(&l->filter, s))
		return false;
	if (!vcr_filter_has_frame_conditions(&l->filter))
		return !l->filter.since || s->created_ns >= l->filter.since_ns || (n && vcr_reader_brief(r, n - 1).time_ns >= l->filter.since_ns);
	for (int64_t i = 0; i < n; i++) {
		struct vcr_error e = { 0 };
		int yes = vcr_filter_frame(&l->filter, r, i, &e);
		if (yes < 0)
			vcr_say(l->t, "%s", e.what);
		if (yes > 0)
			return true;
	}
	return false;
}

static char *tags_json(const struct vcr_reader_session *s)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &b);
	vcr_jw_array(&w);
	for (int i = 0; i < s->ntags; i++)
		vcr_jw_str(&w, s->tags[i]);
	vcr_jw_array_end(&w);
	return vcr_buf_take(&b, NULL);
}

static char *tags_words(const struct vcr_reader_session *s)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	for (int i = 0; i < s->ntags; i++) {
		vcr_buf_puts(&b, i ? "," : "");
		vcr_safe_line(&b, s->tags[i], strlen(s->tags[i]), 30);
	}
	return vcr_buf_take(&b, NULL);
}

static int take(struct vcr_log *l, struct list *list, const char *path)
{
	VCR_AUTO_READER *r = NULL;
	int status = vcr_tool_open(l->t, path, &r);
	if (status)
		return status;
	const struct vcr_reader_session *s = vcr_reader_session(r);
	if (!passes(l, r, s))
		return 0;
	struct listed *to = add(list);
	if (!to)
		return VCR_EXIT_FAILED;
	const char *base = strrchr(path, '/') + 1;
	to->path = strdup(path);
	to->id = *s->session_id ? strdup(s->session_id) : strndup(base, strlen(base) - 4);
	to->parent = s->parent_session_id ? strdup(s->parent_session_id) : NULL;
	to->tags = l->t->json ? tags_json(s) : tags_words(s);
	to->forked_from = s->forked_from_frame;
	to->frames = vcr_reader_count(r);
	to->tokens = s->total_tokens;
	to->errors = s->errors;
	to->cost = s->total_cost_usd;
	to->began_ns = s->created_ns;
	for (int64_t i = 0; i < to->frames; i++) {
		struct vcr_reader_brief b = vcr_reader_brief(r, i);
		to->calls += b.call;
		to->last_ns = b.time_ns ? b.time_ns : to->last_ns;
		to->began_ns = to->began_ns ? to->began_ns : b.time_ns;
	}
	to->state = vcr_log_state(r);
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;
	return x->began_ns != y->began_ns ? (x->began_ns < y->began_ns ? 1 : -1) : strcmp(x->path, y->path);
}

static void print_json(const struct listed *s)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, when = VCR_BUF_INIT;
	struct vcr_jw w;
	const struct { const char *key; int64_t n; } ints[] = { { "frames", s->frames }, { "model_calls", s->calls }, { "errors", s->errors }, { "tokens", s->tokens } };
	vcr_words_iso(&when, s->began_ns);
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "session_id");
	vcr_jw_str(&w, s->id);
	vcr_jw_key(&w, "path");
	vcr_jw_str(&w, s->path);
	vcr_jw_key(&w, "created_at");
	vcr_jw_str(&w, s->began_ns ? when.data : NULL);
	vcr_jw_key(&w, "duration_ms");
	vcr_jw_double(&w, s->last_ns > s->began_ns ? (double)(s->last_ns - s->began_ns) / 1e6 : 0);
	for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
		vcr_jw_key(&w, ints[i].key);
		vcr_jw_int(&w, ints[i].n);
	}
	vcr_jw_key(&w, "cost_usd");
	vcr_jw_double(&w, s->cost);
	vcr_jw_key(&w, "tags");
	vcr_jw_raw(&w, s->tags ? s->tags : "[]", strlen(s->tags ? s->tags : "[]"));
	vcr_jw_key(&w, "state");
	vcr_jw_str(&w, strcmp(s->state, "-") ? s->state : NULL);
	vcr_jw_key(&w, "parent_session_id");
	vcr_jw_str(&w, s->parent);
	vcr_jw_key(&w, "forked_from_frame");
	if (s->forked_from >= 0)
		vcr_jw_int(&w, s->forked_from);
	else
		vcr_jw_null(&w);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

static void print_line(const struct vcr_tool *t, const struct listed *s, int id_columns)
{
	VCR_AUTO_BUF id = VCR_BUF_INIT, when = VCR_BUF_INIT, took = VCR_BUF_INIT, rest = VCR_BUF_INIT;
	vcr_safe_line(&id, s->id ? s->id : "", s->id ? strlen(s->id) : 0, 0);
	vcr_words_time(&when, s->began_ns, "%Y-%m-%d %H:%M");
	if (s->last_ns > s->began_ns)
		vcr_words_ms(&took, (double)(s->last_ns - s->began_ns) / 1e6);
	vcr_buf_puts(&rest, s->tags ? s->tags : "");
	if (s->parent) {
		vcr_buf_puts(&rest, rest.len ? "  < " : "< ");
		vcr_safe_line(&rest, s->parent, strlen(s->parent), 0);
		if (s->forked_from >= 0)
			vcr_buf_printf(&rest, ":%lld", (long long)s->forked_from);
	}
	printf("%s%-*s%s  %-16s %8s %7lld %6lld %s%6lld%s %9lld %9.4f  %s%-5s%s  %s\n", vcr_on(t, VCR_BOLD), id_columns, id.data, vcr_on(t, VCR_PLAIN), when.data, took.data,
		(long long)s->frames, (long long)s->calls, s->errors ? vcr_on(t, VCR_RED) : "", (long long)s->errors, s->errors ? vcr_on(t, VCR_PLAIN) : "",
		(long long)s->tokens, s->cost, !strcmp(s->state, "cut") ? vcr_on(t, VCR_YELLOW) : "", s->state, !strcmp(s->state, "cut") ? vcr_on(t, VCR_PLAIN) : "", rest.data);
}

static void print_list(struct vcr_log *l, const struct list *list)
{
	size_t n = l->limit >= 0 && (size_t)l->limit < list->n ? (size_t)l->limit : list->n;
	int id_columns = 20;
	for (size_t i = 0; i < n; i++)
		if (list->v[i].id && (int)strlen(list->v[i].id) > id_columns && strlen(list->v[i].id) <= 40)
			id_columns = (int)strlen(list->v[i].id);
	if (n && !l->t->json)
		printf("%s%-*s  %-16s %8s %7s %6s %6s %9s %9s  %-5s  %s%s\n", vcr_on(l->t, VCR_DIM), id_columns, "session", "began", "took", "frames", "calls", "errors", "tokens", "cost $",
			"state", "tags", vcr_on(l->t, VCR_PLAIN));
	for (size_t i = 0; i < n; i++) {
		const struct listed *s = &list->v[l->reverse ? n - 1 - i : i];
		if (l->t->json)
			print_json(s);
		else
			print_line(l->t, s, id_columns);
	}
}

/* What it takes on the disk: the recordings, and the savepoints of this workspace. A quota that is reached is said. */
static void print_usage(const struct vcr_log *l, const char *dir)
{
	VCR_AUTO_BUF workspace = VCR_BUF_INIT, shadow = VCR_BUF_INIT, a = VCR_BUF_INIT, b = VCR_BUF_INIT, kept = VCR_BUF_INIT, quota = VCR_BUF_INIT;
	struct vcr_config c;
	int64_t sessions = vcr_usage(dir), savepoints = 0, preimages = 0;
	if (!vcr_paths_workspace(".", &workspace, NULL) && !vcr_paths_state_dir(workspace.data, &shadow, NULL) && !vcr_buf_puts(&shadow, "/shadow.git"))
		savepoints = vcr_usage(shadow.data);
	if (shadow.len) {
		vcr_buf_cut(&shadow, shadow.len - strlen("shadow.git"));
		vcr_buf_puts(&shadow, "preimages");
		preimages = vcr_usage(shadow.data);
		vcr_buf_cut(&shadow, shadow.len - strlen("preimages"));
		vcr_buf_puts(&shadow, "times");
		savepoints += vcr_usage(shadow.data);
	}
	vcr_words_bytes(&a, sessions);
	vcr_words_bytes(&b, savepoints);
	if (preimages) {
		vcr_buf_puts(&kept, ", files kept before they went ");
		vcr_words_bytes(&kept, preimages);
	}
	printf("%son disk: sessions %s, savepoints of this workspace %s%s%s\n", vcr_on(l->t, VCR_DIM), a.data, b.data, kept.data, vcr_on(l->t, VCR_PLAIN));
	if (!vcr_config_load(&c, dir, NULL) && c.quota && sessions + savepoints + preimages > c.quota) {
		vcr_words_bytes(&quota, c.quota);
		vcr_say(l->t, "that is more than the quota of %s in .vcr/config; vcr-gc --auto makes room", quota.data);
	}
	vcr_config_release(&c);
}

/* Every *.vcr of the directory. A file that is no session is said, and passed over. */
static int read_dir(struct vcr_log *l, const char *dir, struct list *list, int *seen)
{
	DIR *d = opendir(dir);
	struct dirent *ent;
	int status = 0;
	if (!d) {
		if (errno == ENOENT)
			return 0;
		vcr_say(l->t, "%s: %s", dir, strerror(errno));
		return VCR_EXIT_FAILED;
	}
	while ((ent = readdir(d))) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		size_t n = strlen(ent->d_name);
		struct stat st;
		if (n < 5 || strcmp(ent->d_name + n - 4, ".vcr"))
			continue;
		vcr_buf_printf(&path, "%s/%s", dir, ent->d_name);
		if (stat(path.data, &st) || S_ISDIR(st.st_mode))
			continue;
		++*seen;
		if (take(l, list, path.data))
			status = VCR_EXIT_FAILED;
	}
	closedir(d);
	return status;
}

int vcr_log_sessions(struct vcr_log *l)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct list list = { 0 };
	int seen = 0;
	if (vcr_tool_dir(l->t, &dir, &e))
		return vcr_failed(l->t, &e);
	vcr_tool_settle(dir.data);
	int status = read_dir(l, dir.data, &list, &seen);
	if (list.n)
		qsort(list.v, list.n, sizeof *list.v, newest_first);
	print_list(l, &list);
	if (list.n && !l->t->json && !l->t->quiet)
		print_usage(l, dir.data);
	if (!list.n && !status && !l->t->quiet)
		vcr_say(l->t, seen ? "none of the %2$d sessions in %1$s matches" : "no session in %1$s yet; record one with: vcr-record -- COMMAND", dir.data, seen);
	bool any = list.n;
	release(&list);
	return status ? status : any ? VCR_EXIT_YES : VCR_EXIT_NO;
}
