#include "isolate-parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is known while a merge is found. Trees and commits are hex ids; "" none. */
struct merging {
	struct vcr_txn *t;
	struct vcr_isolate_merge *m;
	struct vcr_git g;        /* in the workspace, its objects kept apart */
	struct vcr_buf objects;
	char tip[72], tip_tree[72];     /* the branch that is merged into */
	char head_tree[72];             /* of t->head */
	char line[72], line_tree[72];   /* what is checked out in the tree */
	char base[72];                  /* the tree to which both sides are compared */
	char last[72];                  /* the tree's files now */
	char result[72];                /* the tree that is to be */
	struct vcr_error *e;
};

static int take(char to[72], const struct vcr_buf *text, struct vcr_error *e)
{
	return text->len && text->len < 72 ? (strcpy(to, text->data), 0) : vcr_error_set(e, VCR_ECORRUPT, "git gives '%.80s' for an id", text->data);
}

/* An id that git prints. */
static int ask(struct merging *k, char to[72], const char *const argv[])
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	int err = vcr_git_line(&k->g, argv, &text, k->e);
	return err ? err : take(to, &text, k->e);
}
#define ASK(k, to, ...) ask(k, to, (const char *const[]){ __VA_ARGS__, NULL })

static int tree_of(struct merging *k, const char *commit, char to[72])
{
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	vcr_buf_printf(&name, "%s^{tree}", commit);
	return ASK(k, to, "rev-parse", "--verify", name.data);
}

static bool is_ancestor(struct merging *k, const char *a, const char *b)
{
	return VCR_GIT(&k->g, NULL, NULL, "merge-base", "--is-ancestor", a, b) == 0;
}

/* ---- Three trees into one ---- */

static int make_commit(struct merging *k, const char *tree, const char *const parent[2], const char *message, char out[72])
{
	const char *argv[12] = { "commit-tree", tree, "-m", message };
	int n = 4;
	for (int i = 0; i < 2 && parent[i] && *parent[i]; i++) {
		argv[n++] = "-p";
		argv[n++] = parent[i];
	}
	return ask(k, out, argv);
}

/* Output of merge-tree -z --name-only --no-messages: the tree, then the paths in conflict. */
static int read_merged(const struct vcr_git *g, int status, const struct vcr_buf *out, char to[72], struct vcr_buf *conflicts, struct vcr_error *e)
{
	bool first = true;
	if (status != 0 && status != 1)
		return status < 0 ? status : vcr_error_set(e, VCR_EIO, strstr(g->words.data, "usage:") ? "merging needs git 2.38 or later" : "git merge-tree: %.200s", g->words.data);
	for VCR_EACH_Z(p, *out) {
		if (!first)
			vcr_buf_printf(conflicts, "%s\n", p);
		else if (status == 0 && strlen(p) < 72)
			strcpy(to, p);
		first = false;
	}
	return status == 1 ? VCR_ISOLATE_CONFLICT : *to ? 0 : vcr_error_set(e, VCR_EIO, "git merge-tree gives no tree");
}

/* A commit that nobody will see. parent: "" none. */
static int name_tree(struct vcr_git *g, const char *tree, const char *parent, char out[72], struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	g->who = "vcr";
	int err = vcr_git_line(g, (const char *const[]){ "commit-tree", tree, "-m", "side", *parent ? "-p" : NULL, parent, NULL }, &text, e);
	g->who = NULL;
	return err ? err : take(out, &text, e);
}

int vcr_isolate_merge_trees(struct vcr_git *g, const char *base, const char *ours, const char *theirs, char to[72], struct vcr_buf *conflicts, struct vcr_error *e)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	char common[72], a[72], b[72], merged[72] = "";
	const char *easy = !strcmp(base, ours) || !strcmp(ours, theirs) ? theirs : !strcmp(base, theirs) ? ours : NULL;
	int err;
	if (easy)
		return strcpy(to, easy), 0;
	if ((err = name_tree(g, base, "", common, e)) || (err = name_tree(g, ours, common, a, e)) || (err = name_tree(g, theirs, common, b, e)))
		return err;
	int status = VCR_GIT(g, &out, e, "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", a, b);
	if (!(err = read_merged(g, status, &out, merged, conflicts, e)))
		strcpy(to, merged);
	return err;
}

static int merge_trees(struct merging *k, const char *base, const char *ours, const char *theirs, char to[72], struct vcr_buf *conflicts)
{
	return vcr_isolate_merge_trees(&k->g, base, ours, theirs, to, conflicts, k->e);
}

/* ---- Both sides ---- */

/* What git itself would not merge into. */
static int refuse_underway(struct merging *k)
{
	static const struct { const char *file, *what; } all[] = { { "MERGE_HEAD", "a merge" }, { "CHERRY_PICK_HEAD", "a cherry-pick" }, { "REVERT_HEAD", "a revert" },
		{ "rebase-merge", "a rebase" }, { "rebase-apply", "a rebase" }, { "BISECT_START", "a bisect" } };
	struct vcr_isolate_git w;
	int err = vcr_isolate_where(k->t->workspace, &w, k->e);
	for (size_t i = 0; !err && i < sizeof all / sizeof *all; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		vcr_buf_printf(&path, "%s/%s", w.dir, all[i].file);
		if (!access(path.data, F_OK))
			err = vcr_error_set(k->e, VCR_EBUSY, "%s is under way in %s: finish it or give it up, then commit again", all[i].what, k->t->workspace);
	}
	return err;
}

/* The branch as it is now. A detached head stays one. */
static int find_tip(struct merging *k)
{
	VCR_AUTO_BUF now = VCR_BUF_INIT;
	struct vcr_txn *t = k->t;
	if (!*t->into && !VCR_GIT(&k->g, &now, k->e, "symbolic-ref", "-q", "HEAD"))
		return vcr_error_set(k->e, VCR_EINVAL, "transaction %s began when no branch was checked out, and %.*s is now: git checkout --detach, then commit again", t->session,
			(int)strcspn(now.data, "\n"), now.data);
	VCR_AUTO_BUF name = VCR_BUF_INIT;
	vcr_buf_printf(&name, "%s^{commit}", *t->into ? t->into : "HEAD");
	if (*t->into && VCR_GIT(&k->g, NULL, k->e, "rev-parse", "-q", "--verify", name.data) == 1)
		return vcr_error_set(k->e, VCR_ENOTFOUND, "%s, from which transaction %s began, is there no more: make it again (git branch), or take the work from %s", t->into, t->session, t->dir);
	int err = ASK(k, k->tip, "rev-parse", "--verify", name.data);
	return err ? err : tree_of(k, k->tip, k->tip_tree);
}

/* A repository inside the tree would be lost with it. */
static int refuse_nested(struct merging *k)
{
	VCR_AUTO_BUF raw = VCR_BUF_INIT;
	bool is_path = false, nested = false;
	int err = VCR_GIT_MUST(&k->g, &raw, k->e, "diff-tree", "-r", "-z", "--raw", "--no-renames", k->t->work, k->last);
	for VCR_EACH_Z(p, raw) {
		if (is_path && nested && !err)
			err = vcr_error_set(k->e, VCR_EINVAL, "%s/%.200s is a repository of its own: move it elsewhere, or remove its .git, then commit again", k->t->dir, p);
		nested = !is_path && strlen(p) > 13 && !strncmp(p + 8, "160000", 6);
		is_path = !is_path;
	}
	return err;
}

/* What is checked out in the tree, and its files. Unmerged ones are told as a conflict. */
static int find_line(struct merging *k, const char *state_dir)
{
	struct vcr_git in = VCR_GIT_INIT;
	VCR_AUTO_BUF unmerged = VCR_BUF_INIT, head = VCR_BUF_INIT, last = VCR_BUF_INIT;
	in.dir = k->t->dir;
	int err = VCR_GIT_LINE(&in, &head, k->e, "rev-parse", "--verify", "HEAD^{commit}");
	if (!err && !(err = take(k->line, &head, k->e)))
		err = VCR_GIT_MUST(&in, &unmerged, k->e, "ls-files", "-u", "-z");
	for VCR_EACH_Z(p, unmerged) {
		const char *path = strchr(p, '\t');
		if (path && strcmp(last.data, path + 1)) {
			vcr_buf_reset(&last);
			vcr_buf_puts(&last, path + 1);
			vcr_buf_printf(&k->m->paths, "%s\n", path + 1);
		}
	}
	vcr_git_release(&in);
	if (err || unmerged.len)
		return err ? err : VCR_ISOLATE_CONFLICT;
	if ((err = tree_of(k, k->line, k->line_tree)) || (err = tree_of(k, k->t->head, k->head_tree)) || (err = vcr_isolate_snapshot(state_dir, k->t, k->last, k->e)))
		return err;
	return refuse_nested(k);
}

/* Where both sides were the same: at the beginning, or at a commit of the branch that was taken into the tree since. The user's uncommitted work,
 * which the tree began with, is part of it. */
static int find_base(struct merging *k)
{
	VCR_AUTO_BUF both = VCR_BUF_INIT, ignored = VCR_BUF_INIT;
	char tree[72];
	strcpy(k->base, k->t->work);
	if (VCR_GIT(&k->g, &both, NULL, "merge-base", k->tip, k->line))
		return 0;
	vcr_buf_cut(&both, strcspn(both.data, "\n"));
	if (!strcmp(both.data, k->t->head) || !is_ancestor(k, k->t->head, both.data))
		return 0;
	int err = tree_of(k, both.data, tree);
	if (err)
		return err;
	return (err = merge_trees(k, k->head_tree, tree, k->t->work, k->base, &ignored)) > 0 ? (strcpy(k->base, tree), 0) : err;
}

/* ---- The commits ---- */

static const char *message_of(struct merging *k, struct vcr_buf *own)
{
	if (k->m->message)
		return k->m->message;
	vcr_buf_printf(own, "Changes of vcr session %s", k->t->session);
	return own->data;
}

/* None of the tree's own commits touches what the user had not committed. */
static bool is_pure(struct merging *k)
{
	VCR_AUTO_BUF range = VCR_BUF_INIT, touched = VCR_BUF_INIT, his = VCR_BUF_INIT;
	struct vcr_isolate_names names;
	bool pure = true;
	vcr_buf_printf(&range, "%s..%s", k->t->head, k->line);
	if (VCR_GIT(&k->g, &touched, NULL, "log", "-m", "-z", "--no-show-signature", "--format=", "--name-only", "--no-renames", range.data) ||
	    VCR_GIT(&k->g, &his, NULL, "diff-tree", "-r", "-z", "--name-only", "--no-renames", k->head_tree, k->t->work) ||
	    vcr_isolate_sort_names(&names, &his, NULL))
		return false;
	for VCR_EACH_Z(p, touched)
		pure &= !vcr_isolate_has_name(&names, p);
	free(names.name);
	return pure;
}

enum { MOST_COMMITS = 1000 };
struct rewritten { char from[72], to[72], tree[72]; };
struct rewriting { struct rewritten *done; size_t n; };

/* What became of a commit: itself if it is none of the tree's own. */
static const char *became(const struct rewriting *w, const char *id)
{
	for (size_t i = w->n; i-- > 0;)
		if (!strcmp(w->done[i].from, id))
			return w->done[i].to;
	return id;
}

static const char *tree_that_became(const struct rewriting *w, const char *to)
{
	for (size_t i = w->n; i-- > 0;)
		if (!strcmp(w->done[i].to, to))
			return w->done[i].tree;
	return "";
}

/* The commit object with another tree and other parents; a signature would not hold any more. */
static void write_commit(const char *raw, const char *tree, const char *parents, struct vcr_buf *out)
{
	const char *p = raw;
	bool drop = false;
	vcr_buf_printf(out, "tree %s\n%s", tree, parents);
	for (size_t n; *p && *p != '\n'; p += n + 1) {
		n = strcspn(p, "\n");
		drop = *p == ' ' ? drop : !strncmp(p, "tree ", 5) || !strncmp(p, "parent ", 7) || !strncmp(p, "gpgsig", 6);
		if (!drop)
			vcr_buf_printf(out, "%.*s\n", (int)n, p);
	}
	vcr_buf_puts(out, p);
}

/* ids: a commit and its parents. One that holds nothing but the user's work becomes its parent. */
static int rewrite_one(struct merging *k, struct rewriting *w, char *ids)
{
	VCR_AUTO_BUF parents = VCR_BUF_INIT, raw = VCR_BUF_INIT, text = VCR_BUF_INIT, id = VCR_BUF_INIT, conflicts = VCR_BUF_INIT;
	struct rewritten *r = &w->done[w->n];
	const char *only = NULL;
	char *save, *name = strtok_r(ids, " ", &save), tree[72];
	int n = 0, err;
	snprintf(r->from, sizeof r->from, "%s", name);
	for (char *p; (p = strtok_r(NULL, " ", &save)); n++)
		vcr_buf_printf(&parents, "parent %s\n", only = became(w, p));
	if ((err = tree_of(k, r->from, tree)) || (err = merge_trees(k, k->t->work, k->head_tree, tree, r->tree, &conflicts)))
		return err;
	w->n++;
	if (n == 1 && !strcmp(r->tree, strcmp(only, k->t->head) ? tree_that_became(w, only) : k->head_tree))
		return snprintf(r->to, sizeof r->to, "%s", only), 0;
	if ((err = VCR_GIT_MUST(&k->g, &raw, k->e, "cat-file", "commit", r->from)))
		return err;
	write_commit(raw.data, r->tree, parents.data, &text);
	if ((err = vcr_git_must(&k->g, (const char *const[]){ "hash-object", "-t", "commit", "-w", "--stdin", NULL }, &text, &id, k->e)))
		return err;
	vcr_buf_cut(&id, strcspn(id.data, "\n"));
	return take(r->to, &id, k->e);
}

/* The tree's own commits without what the user had not committed when it was made. > 0: it cannot be. */
static int rewrite(struct merging *k, char line[72], char tree[72])
{
	VCR_AUTO_BUF range = VCR_BUF_INIT, list = VCR_BUF_INIT;
	struct rewriting w = { 0 };
	vcr_buf_printf(&range, "%s..%s", k->t->head, k->line);
	int err = VCR_GIT_MUST(&k->g, &list, k->e, "rev-list", "--topo-order", "--reverse", "--parents", range.data);
	if (!err && !(w.done = calloc(MOST_COMMITS + 1, sizeof *w.done)))
		err = vcr_error_set(k->e, VCR_ENOMEM, "out of memory");
	for (char *p = list.data, *next; !err && *p; p = next) {
		next = p + strcspn(p, "\n");
		*next++ = 0;
		err = w.n == MOST_COMMITS ? VCR_ISOLATE_CONFLICT : rewrite_one(k, &w, p);
	}
	if (!err) {
		strcpy(line, became(&w, k->line));
		strcpy(tree, strcmp(line, k->t->head) ? tree_that_became(&w, line) : k->head_tree);
	}
	free(w.done);
	return err;
}

/* The tree's own commits, and one for what it has not committed; without what the user had not committed when it was made. "" if there is no such
 * line: the commit it began at is no part of it, or both kinds of change are too close to each other. */
static int make_line(struct merging *k, char out[72])
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, conflicts = VCR_BUF_INIT;
	char line[72], line_tree[72], tree[72];
	int err = 0;
	*out = 0;
	if (!is_ancestor(k, k->t->head, k->line))
		return 0;
	if (is_pure(k)) {
		strcpy(line, k->line);
		strcpy(line_tree, k->line_tree);
	} else {
		err = rewrite(k, line, line_tree);
	}
	if (err || (err = merge_trees(k, k->t->work, k->head_tree, k->last, tree, &conflicts)))
		return err > 0 ? 0 : err;
	if (!strcmp(tree, line_tree) && strcmp(line, k->t->head))
		return strcpy(out, line), 0;
	return make_commit(k, tree, (const char *const[2]){ line }, message_of(k, &text), out);
}

static int make_one(struct merging *k)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	k->m->how = VCR_ISOLATE_ONE;
	return make_commit(k, k->result, (const char *const[2]){ k->tip }, message_of(k, &text), k->m->commit);
}

static int make_result(struct merging *k)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	char line[72], tree[72];
	int err;
	if (k->m->squash)
		return make_one(k);
	if ((err = make_line(k, line)))
		return err;
	if (!*line)
		return make_one(k);
	if ((err = tree_of(k, line, tree)))
		return err;
	if (is_ancestor(k, k->tip, line) && !strcmp(tree, k->result)) {
		k->m->how = VCR_ISOLATE_FORWARD;
		return strcpy(k->m->commit, line), 0;
	}
	if (is_ancestor(k, line, k->tip))
		return make_one(k);
	k->m->how = VCR_ISOLATE_MERGE;
	vcr_buf_printf(&text, "Merge vcr session %s", k->t->session);
	return make_commit(k, k->result, (const char *const[2]){ k->tip, line }, k->m->message ? k->m->message : text.data, k->m->commit);
}

/* Objects that the result needs go to the repository; nothing refers to them yet. */
static int hand_over(struct merging *k)
{
	struct vcr_git to = VCR_GIT_INIT;
	VCR_AUTO_BUF revs = VCR_BUF_INIT, pack = VCR_BUF_INIT;
	to.dir = k->t->workspace;
	vcr_buf_printf(&revs, "%s\n^%s\n^%s\n^%s\n", k->m->commit, k->tip, k->line, k->t->head);
	int err = vcr_git_must(&k->g, (const char *const[]){ "pack-objects", "-q", "--revs", "--stdout", NULL }, &revs, &pack, k->e);
	if (!err)
		err = vcr_git_must(&to, (const char *const[]){ "unpack-objects", "-q", NULL }, &pack, NULL, k->e);
	vcr_git_release(&to);
	return err;
}

static int count_changes(struct merging *k)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	int err = VCR_GIT_MUST(&k->g, &names, k->e, "diff-tree", "-r", "-z", "--name-only", "--no-renames", k->tip_tree, k->result);
	k->m->changed = 0;
	for VCR_EACH_Z(p, names)
		k->m->changed++;
	return err;
}

/* A conflict about what the user had not committed when the tree was made is of another kind: once he commits it, both sides have it. */
static int judge_conflict(struct merging *k)
{
	VCR_AUTO_BUF list = VCR_BUF_INIT, his = VCR_BUF_INIT;
	struct vcr_isolate_names names = { 0 };
	int err = VCR_GIT_MUST(&k->g, &list, k->e, "diff-tree", "-r", "-z", "--name-only", "--no-renames", k->head_tree, k->t->work);
	err = err ? err : vcr_isolate_sort_names(&names, &list, k->e);
	for (const char *p = k->m->paths.data; *p && !err; p += strcspn(p, "\n") + 1) {
		VCR_AUTO_BUF line = VCR_BUF_INIT;
		vcr_buf_printf(&line, "%.*s", (int)strcspn(p, "\n"), p);
		if (vcr_isolate_has_name(&names, line.data))
			vcr_buf_printf(&his, "%s\n", line.data);
	}
	free(names.name);
	if (err || !his.len)
		return err ? err : VCR_ISOLATE_CONFLICT;
	vcr_buf_reset(&k->m->paths);
	vcr_buf_puts(&k->m->paths, his.data);
	k->m->builds = true;
	return VCR_ISOLATE_UNCOMMITTED;
}

static int find_result(struct merging *k, const char *state_dir)
{
	int err;
	if ((err = refuse_underway(k)) || (err = find_tip(k)) || (err = find_line(k, state_dir)) || (err = find_base(k)))
		return err;
	if ((err = merge_trees(k, k->base, k->tip_tree, k->last, k->result, &k->m->paths)))
		return err > 0 ? judge_conflict(k) : err;
	if ((err = count_changes(k)))
		return err;
	if (!k->m->changed) {
		k->m->how = VCR_ISOLATE_NOTHING;
		return strcpy(k->m->commit, k->tip), 0;
	}
	return make_result(k);
}

int vcr_isolate_merge(const char *state_dir, struct vcr_txn *t, struct vcr_isolate_merge *m, struct vcr_error *e)
{
	struct merging k = { .t = t, .m = m, .g = VCR_GIT_INIT, .objects = VCR_BUF_INIT, .e = e };
	if (!*t->work)
		return vcr_error_set(e, VCR_ENOTFOUND, "transaction %s was never begun to its end: vcr-txn abort --session=%s", t->session, t->session);
	vcr_isolate_beside(state_dir, t, "objects", &k.objects);
	k.g.dir = t->workspace;
	k.g.objects = k.objects.data;
	int err = vcr_isolate_nested_merge(state_dir, t, false, m, e);
	if (!err)
		err = find_result(&k, state_dir);
	if (!err && m->how != VCR_ISOLATE_NOTHING && !(err = hand_over(&k))) {
		strcpy(t->from, k.tip);
		strcpy(t->to, m->commit);
		err = vcr_isolate_apply(state_dir, t, false, m, e);
	}
	if (!err && m->how == VCR_ISOLATE_NOTHING && m->waits) { /* for who completes it after a kill */
		strcpy(t->from, k.tip);
		strcpy(t->to, k.tip);
		err = vcr_txn_save(state_dir, t, e);
	}
	if (!err)
		err = vcr_isolate_nested_merge(state_dir, t, true, m, e);
	if (err && m->how == VCR_ISOLATE_NOTHING && !m->inside && *t->to) { /* nothing was written */
		*t->from = *t->to = 0;
		int saved = vcr_txn_save(state_dir, t, err < 0 ? NULL : e);
		err = saved && err > 0 ? saved : err;
	}
	vcr_git_release(&k.g);
	vcr_buf_release(&k.objects);
	return err;
}

void vcr_isolate_merge_release(struct vcr_isolate_merge *m)
{
	vcr_buf_release(&m->paths);
	vcr_buf_release(&m->notes);
}
