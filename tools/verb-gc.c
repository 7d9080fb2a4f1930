/* vcr gc — housekeeping: sessions that are old are deleted, what nobody needs of their savepoints goes, the rest is packed. */
#include "../lib/config.h" /* not configure's */
#include "../lib/golden.h" /* not the tool's */
#include "control.h"
#include "gc.h"
#include "open.h"
#include "options.h"
#include "paths.h"
#include "preimage.h"
#include "rollback.h"
#include "txn.h"
#include "usage.h"
#include "verbs.h"
#include "words.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct kept { char *id, *parent; int64_t at_ns, bytes; char why[200]; bool goes; }; /* why: it must stay; "" it need not */
struct gc {
	struct vcr_tool *t;
	int64_t keep, max_age;
	const char *max_text;
	int64_t max_bytes;
	bool dry_run, automatic;
	struct vcr_opt_list named;
	struct vcr_buf vcr_dir, workspace, state;
	struct vcr_store *store;
	int lock;
	struct kept *v; /* newest first */
	size_t n, cap, deleted, pruned;
	struct vcr_error e;
};

/* ---- The sessions ---- */

static bool add(struct gc *g, const struct kept *k)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 64;
		struct kept *v = reallocarray(g->v, cap, sizeof *v);
		if (!v)
			return false;
		g->v = v;
		g->cap = cap;
	}
	g->v[g->n++] = *k;
	return true;
}

static bool runs(const char *id)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	int err = vcr_control_ask(id, "{\"op\":\"status\"}", &answer, 2000, NULL);
	return !err || err == VCR_EBUSY || err == VCR_ETRUNC; /* one that is busy is there too */
}

static void take(struct gc *g, const char *name)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	VCR_AUTO_JSON meta = VCR_JSON_INIT;
	struct vcr_reader *r;
	struct vcr_txn txn;
	struct stat st;
	vcr_buf_printf(&path, "%s/%s", g->vcr_dir.data, name);
	if (lstat(path.data, &st) || !S_ISREG(st.st_mode) || vcr_reader_open(&r, path.data, NULL, NULL, NULL))
		return;
	const struct vcr_reader_session *s = vcr_reader_header(r);
	struct kept k = { .id = strndup(name, strlen(name) - 4), .parent = s->parent_session_id ? strdup(s->parent_session_id) : NULL,
		.at_ns = s->created_ns ? s->created_ns : (int64_t)st.st_mtim.tv_sec * 1000000000, .bytes = (int64_t)st.st_blocks * 512 };
	if (!k.parent && !vcr_json_parse(&meta, s->metadata_json, strlen(s->metadata_json), 0, NULL))
		k.parent = vcr_json_strdup(&meta, vcr_json_get(&meta, 0, "replay_of")); /* chain.h: it holds what that one had not */
	if (!k.id || vcr_paths_check_session_id(k.id, NULL) || (*s->session_id && strcmp(s->session_id, k.id)))
		snprintf(k.why, sizeof k.why, "the session in it has another name than its file");
	else if (runs(k.id))
		snprintf(k.why, sizeof k.why, "it is being recorded");
	else if (!vcr_txn_find(g->state.data, k.id, &txn, NULL))
		snprintf(k.why, sizeof k.why, "it is a transaction that is open");
	vcr_reader_free(r);
	if (!k.id || !add(g, &k)) {
		free(k.id);
		free(k.parent);
	}
}

static struct kept *find(struct gc *g, const char *id)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->v[i].id, id))
			return &g->v[i];
	return NULL;
}

static void mark_golden(struct gc *g)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_golden_index(g->vcr_dir.data, &text, &j, NULL))
		return;
	for (int m = vcr_json_first(&j, 0); m >= 0; m = vcr_json_next(&j, m)) {
		VCR_AUTO_BUF id = VCR_BUF_INIT, name = VCR_BUF_INIT;
		if (vcr_json_str(&j, vcr_json_get(&j, vcr_json_value(&j, m), "session_id"), &id) || vcr_json_str(&j, m, &name))
			continue;
		struct kept *k = find(g, id.data);
		if (k && !*k->why)
			snprintf(k->why, sizeof k->why, "the golden run %.16s is of it", name.data);
	}
}

static int newest_first(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;
	return x->at_ns != y->at_ns ? (x->at_ns < y->at_ns ? 1 : -1) : strcmp(y->id, x->id);
}

static void list(struct gc *g)
{
	DIR *d = opendir(g->vcr_dir.data);
	struct dirent *ent;
	while (d && (ent = readdir(d))) {
		size_t n = strlen(ent->d_name);
		if (n > 4 && !strcmp(ent->d_name + n - 4, ".vcr"))
			take(g, ent->d_name);
	}
	if (d)
		closedir(d);
	if (g->n)
		qsort(g->v, g->n, sizeof *g->v, newest_first);
	mark_golden(g);
}

/* What a session that stays was made from stays too, and what that was made from. */
static void keep_parents(struct gc *g)
{
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < g->n; i++) {
			struct kept *p = !g->v[i].goes && g->v[i].parent ? find(g, g->v[i].parent) : NULL;
			if (!p || !p->goes)
				continue;
			p->goes = false;
			snprintf(p->why, sizeof p->why, "session %.100s was made from it", g->v[i].id);
			more = true;
		}
	}
}

/* ---- Which go ---- */

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool is_named(const struct gc *g, const char *id)
{
	for (int i = 0; i < g->named.n; i++)
		if (!strcmp(g->named.item[i], id))
			return true;
	return false;
}

static void choose(struct gc *g)
{
	int64_t before = g->max_age >= 0 ? now_ns() - g->max_age * 86400 * 1000000000 : INT64_MIN;
	for (size_t i = 0; i < g->n; i++)
		g->v[i].goes = is_named(g, g->v[i].id) || (g->keep >= 0 && (int64_t)i >= g->keep) || g->v[i].at_ns < before;
	for (size_t i = 0; i < g->n; i++)
		g->v[i].goes &= !*g->v[i].why;
	keep_parents(g);
}

/* Named ones that may not go. 0 or an exit status. */
static int refuse(struct gc *g)
{
	int status = 0;
	for (int i = 0; i < g->named.n; i++) {
		struct kept *k = find(g, g->named.item[i]);
		if (!k)
			return vcr_wrong_call(g->t, "there is no session %s in %s", g->named.item[i], g->vcr_dir.data);
		if (k->goes)
			continue;
		vcr_say(g->t, "session %s stays: %s", k->id, k->why);
		status = VCR_EXIT_NO;
	}
	if (status)
		vcr_say(g->t, "nothing was done");
	return status;
}

/* ---- Doing it ---- */

static int64_t used(const struct gc *g, int64_t *sessions, int64_t *savepoints)
{
	VCR_AUTO_BUF shadow = VCR_BUF_INIT, kept = VCR_BUF_INIT, times = VCR_BUF_INIT;
	vcr_buf_printf(&shadow, "%s/shadow.git", g->state.data);
	vcr_buf_printf(&times, "%s/times", g->state.data);
	vcr_buf_printf(&kept, "%s/preimages", g->state.data);
	int64_t a = vcr_usage(g->vcr_dir.data), b = vcr_usage(shadow.data) + vcr_usage(times.data) + vcr_usage(kept.data);
	if (sessions)
		*sessions = a;
	if (savepoints)
		*savepoints = b;
	return a + b;
}

static void tell_session(const struct gc *g, const struct kept *k)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, size = VCR_BUF_INIT, when = VCR_BUF_INIT, id = VCR_BUF_INIT;
	struct vcr_jw w;
	if (!g->t->json) {
		vcr_words_bytes(&size, k->bytes);
		vcr_words_time(&when, k->at_ns, "%Y-%m-%d %H:%M");
		vcr_safe(&id, k->id, strlen(k->id), 0);
		if (k->goes && !g->t->quiet)
			printf("%s  session %s  %s  %s\n", g->dry_run ? "would delete" : "deleted", id.data, when.data, size.data);
		return;
	}
	vcr_words_iso(&when, k->at_ns);
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "session");
	vcr_jw_str(&w, k->id);
	vcr_jw_key(&w, "action");
	vcr_jw_str(&w, k->goes ? "delete" : "keep");
	vcr_jw_key(&w, "because");
	vcr_jw_str(&w, *k->why ? k->why : NULL);
	vcr_jw_key(&w, "created_at");
	vcr_jw_str(&w, when.data);
	vcr_jw_key(&w, "bytes");
	vcr_jw_int(&w, k->bytes);
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

/* Those that go, and with --json the others; they are off the list then. */
static int delete(struct gc *g)
{
	const char **id = calloc(g->n + 1, sizeof *id);
	size_t n = 0, keep = 0;
	for (size_t i = 0; id && i < g->n; i++)
		if (g->v[i].goes)
			id[n++] = g->v[i].id;
	int err = id && n && !g->dry_run ? vcr_gc_delete(g->store, g->vcr_dir.data, id, n, &g->e) : 0;
	free(id);
	if (err || !id)
		return err ? err : VCR_ENOMEM;
	for (size_t i = 0; i < g->n; i++) {
		if (!g->v[i].goes) {
			g->v[keep++] = g->v[i];
			continue;
		}
		tell_session(g, &g->v[i]);
		free(g->v[i].id);
		free(g->v[i].parent);
		g->deleted++;
	}
	g->n = keep;
	return 0;
}

/* The oldest that may go. */
static bool mark_oldest(struct gc *g)
{
	for (size_t i = g->n; i-- > 0;) {
		if (*g->v[i].why)
			continue;
		g->v[i].goes = true;
		keep_parents(g);
		if (g->v[i].goes)
			return true;
	}
	return false;
}

static int repack(struct gc *g)
{
	struct vcr_gc_stats stats;
	return g->dry_run ? 0 : vcr_gc_repack(g->store, &stats, &g->e);
}

/* What was kept before the oldest session that stays is of use to nobody; beyond the limit more goes, the oldest first. */
static void prune(struct gc *g, bool to_limit)
{
	struct vcr_preimages *p;
	int64_t oldest = INT64_MAX, bytes, most = -1;
	for (size_t i = 0; i < g->n; i++)
		if (!g->v[i].goes && g->v[i].at_ns < oldest)
			oldest = g->v[i].at_ns;
	if (vcr_preimages_open(&p, g->workspace.data, g->state.data, g->vcr_dir.data, false, NULL))
		return;
	vcr_preimages_adopt(p);
	g->pruned += vcr_preimages_prune(p, oldest, -1, g->dry_run, &bytes);
	int64_t over = to_limit && g->max_bytes >= 0 && !g->dry_run ? used(g, NULL, NULL) - g->max_bytes : 0;
	if (over > 0) {
		most = bytes > over ? bytes - over : 0;
		g->pruned += vcr_preimages_prune(p, oldest, most, false, &bytes);
	}
	vcr_preimages_free(p);
}

/* One after the other, for only afterwards it is known what its savepoints had for themselves. */
static int shrink(struct gc *g)
{
	int err = 0;
	int64_t saved = 0;
	while (!err && g->max_bytes >= 0 && used(g, NULL, NULL) - saved > g->max_bytes && mark_oldest(g)) {
		for (size_t i = 0; g->dry_run && i < g->n; i++)
			saved += g->v[i].goes ? g->v[i].bytes : 0;
		if (!(err = delete(g)))
			err = repack(g);
		prune(g, false);
	}
	return err;
}

static void tell_end(const struct gc *g, int64_t before)
{
	VCR_AUTO_BUF was = VCR_BUF_INIT, is = VCR_BUF_INIT, a = VCR_BUF_INIT, b = VCR_BUF_INIT, out = VCR_BUF_INIT;
	int64_t sessions, savepoints, now = used(g, &sessions, &savepoints);
	struct vcr_jw w;
	const struct { const char *key; int64_t n; } ints[] = { { "deleted", (int64_t)g->deleted }, { "bytes_before", before }, { "bytes", now }, { "bytes_sessions", sessions },
		{ "bytes_savepoints", savepoints }, { "preimages_deleted", (int64_t)g->pruned } };
	vcr_words_bytes(&was, before);
	vcr_words_bytes(&is, now);
	vcr_words_bytes(&a, sessions);
	vcr_words_bytes(&b, savepoints);
	if (g->t->json) {
		for (size_t i = 0; i < g->n; i++)
			tell_session(g, &g->v[i]);
		vcr_jw_init(&w, &out);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "dry_run");
		vcr_jw_bool(&w, g->dry_run);
		for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
			vcr_jw_key(&w, ints[i].key);
			vcr_jw_int(&w, ints[i].n);
		}
		vcr_jw_object_end(&w);
		printf("%s\n", out.data);
	} else if (g->automatic) {
		VCR_AUTO_BUF quota = VCR_BUF_INIT;
		vcr_words_bytes(&quota, g->max_bytes);
		vcr_say(g->t, "the quota of %s was reached (%s were used): %zu session%s deleted, %s are used now", quota.data, was.data, g->deleted, g->deleted == 1 ? " was" : "s were", is.data);
	} else if (!g->t->quiet) {
		printf("%s: sessions %s, savepoints %s (before: %s)\n", is.data, a.data, b.data, was.data);
	}
}

static int open_all(struct gc *g)
{
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	bool finished;
	if (vcr_tool_dir(g->t, &g->vcr_dir, &g->e) || vcr_paths_workspace(".", &g->workspace, &g->e) || vcr_paths_state_dir(g->workspace.data, &g->state, &g->e))
		return vcr_failed(g->t, &g->e);
	vcr_tool_settle(g->vcr_dir.data);
	struct vcr_store_options o = { .workspace = g->workspace.data, .state_dir = g->state.data, .vcr_dir = g->vcr_dir.data };
	int err = vcr_rollback_lock(g->state.data, &g->lock, &g->e);
	if (!err)
		err = vcr_store_open(&g->store, &o, &g->e);
	const struct vcr_rollback_where where = { .store = g->store, .workspace = g->workspace.data, .state_dir = g->state.data, .vcr_dir = g->vcr_dir.data };
	if (!err)
		err = vcr_rollback_recover(&where, &finished, &skipped, &g->e);
	if (!err)
		err = vcr_gc_recover(g->store, &g->e);
	return err;
}

static int busy_or_failed(const struct gc *g, int err)
{
	if (err != VCR_EBUSY)
		return vcr_failed(g->t, &g->e);
	vcr_say(g->t, "%s", g->e.what);
	return VCR_EXIT_NO;
}

static int gc(struct gc *g)
{
	int err = open_all(g), status;
	if (err)
		return busy_or_failed(g, err);
	int64_t before = used(g, NULL, NULL);
	if (g->automatic && before <= g->max_bytes)
		return VCR_EXIT_YES;
	list(g);
	choose(g);
	if ((status = refuse(g)))
		return status;
	if ((err = delete(g)) || (err = repack(g)))
		return busy_or_failed(g, err);
	prune(g, false);
	if ((err = shrink(g)))
		return busy_or_failed(g, err);
	prune(g, true);
	tell_end(g, before);
	bool over = g->max_bytes >= 0 && !g->dry_run && used(g, NULL, NULL) > g->max_bytes;
	if (over)
		vcr_say(g->t, "that is still more than %s: what is left is being recorded, is golden, or is one that others were made from", g->max_text);
	return over ? VCR_EXIT_NO : VCR_EXIT_YES;
}

/* The quota of .vcr/config. 0 or an exit status, or -1: there is none. */
static int find_quota(struct gc *g)
{
	struct vcr_config c;
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	static char text[32];
	int status = vcr_tool_dir(g->t, &dir, &g->e) || vcr_config_load(&c, dir.data, &g->e) ? vcr_failed(g->t, &g->e) : 0;
	if (!status) {
		snprintf(text, sizeof text, "%lld bytes", (long long)c.quota);
		g->max_bytes = c.quota;
		g->max_text = text;
		vcr_config_release(&c);
	}
	return status ? status : g->max_bytes > 0 ? 0 : -1;
}

static void release(struct gc *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->v[i].id);
		free(g->v[i].parent);
	}
	free(g->v);
	vcr_store_free(g->store);
	if (g->lock >= 0)
		close(g->lock);
	vcr_opt_list_release(&g->named);
	vcr_buf_release(&g->vcr_dir);
	vcr_buf_release(&g->workspace);
	vcr_buf_release(&g->state);
}

int vcr_verb_gc(struct vcr_tool *t, int argc, char **argv)
{
	struct gc g = { .t = t, .keep = -1, .max_age = -1, .max_bytes = -1, .lock = -1, .vcr_dir = VCR_BUF_INIT, .workspace = VCR_BUF_INIT, .state = VCR_BUF_INIT };
	const struct vcr_opt opts[] = {
		{ 'k', "keep", "N", VCR_OPT_NUMBER, &g.keep, "delete all but the newest N sessions" },
		{ 'a', "max-age", "DAYS", VCR_OPT_NUMBER, &g.max_age, "delete sessions that began longer ago" },
		{ 'b', "max-bytes", "SIZE", VCR_OPT_STRING, &g.max_text, "delete the oldest sessions until all takes no more than SIZE (500M, 2G)" },
		{ 'd', "delete", "SESSION", VCR_OPT_LIST, &g.named, "delete this session; may be given several times" },
		{ 'n', "dry-run", NULL, VCR_OPT_FLAG, &g.dry_run, "say what would be deleted" },
		{ 0, "auto", NULL, VCR_OPT_FLAG, &g.automatic, "only if the quota of .vcr/config is reached" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "", "Pack the savepoints of this workspace, drop what no session needs any more, and delete sessions if asked to.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if (n)
		status = vcr_wrong_call(t, "a session is deleted with --delete=%s", argv[0]);
	else if (g.max_text && (g.max_bytes = vcr_usage_parse(g.max_text)) < 0)
		status = vcr_wrong_call(t, "--max-bytes wants a size such as 500M or 2G, not '%s'", g.max_text);
	else if (g.max_age > 36500)
		status = vcr_wrong_call(t, "--max-age wants days, at most 36500");
	else if (!g.automatic)
		status = gc(&g);
	else if (g.keep >= 0 || g.max_age >= 0 || g.max_text || g.named.n)
		status = vcr_wrong_call(t, "--auto follows .vcr/config alone");
	else if (!(status = find_quota(&g)))
		status = gc(&g);
	release(&g);
	return status < 0 ? VCR_EXIT_YES : status;
}
