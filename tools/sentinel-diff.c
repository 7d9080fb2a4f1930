/* vcr sentinel diff — what the changes between two revisions of git made worse. */
#include "json.h"
#include "limits.h"
#include "tally.h"
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct diffing {
	struct vcr_tally tally;
	struct vcr_judging_run *run;
	git_repository *repo;
	git_diff *diff;
};

static int git_said(struct vcr_error *e, const char *what)
{
	const git_error *g = git_error_last();
	return vcr_error_set(e, VCR_EIO, "%s: %s", what, g && g->message ? g->message : "git says no more");
}

static int tree_of(const git_object *o, git_tree **out)
{
	return git_object_peel((git_object **)out, o, GIT_OBJECT_TREE);
}

/* "A..B", or "A", which is A..HEAD. */
static int open_diff(struct diffing *d, const char *range, struct vcr_error *e)
{
	git_diff_options options;
	git_diff_find_options renames;
	git_object *from = NULL, *to = NULL;
	git_tree *a = NULL, *b = NULL;
	const char *dots = strstr(range, "..");
	char *first = dots ? strndup(range, (size_t)(dots - range)) : strdup(range);
	const char *second = dots && dots[2] ? dots + 2 : "HEAD";
	int err = 0;
	git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	git_diff_find_options_init(&renames, GIT_DIFF_FIND_OPTIONS_VERSION);
	if (!first)
		err = VCR_ENOMEM;
	else if (git_repository_open_ext(&d->repo, ".", 0, NULL))
		err = git_said(e, "no repository here");
	else if (git_revparse_single(&from, d->repo, *first ? first : "HEAD") || git_revparse_single(&to, d->repo, second))
		err = git_said(e, range);
	else if (tree_of(from, &a) || tree_of(to, &b) || git_diff_tree_to_tree(&d->diff, d->repo, a, b, &options) || git_diff_find_similar(d->diff, &renames))
		err = git_said(e, range);
	git_tree_free(a);
	git_tree_free(b);
	git_object_free(from);
	git_object_free(to);
	free(first);
	return err;
}

/* One side; a blob that is too large or none is not known. */
static git_blob *text_of(struct diffing *d, const git_diff_file *f, bool exists, struct vcr_judging_text *t)
{
	git_blob *blob = NULL;
	*t = (struct vcr_judging_text){ .known = !exists };
	if (!exists || (f->mode != GIT_FILEMODE_BLOB && f->mode != GIT_FILEMODE_BLOB_EXECUTABLE) || git_blob_lookup(&blob, d->repo, &f->id))
		return NULL;
	if (git_blob_rawsize(blob) <= VCR_MAX_FILE_CONTENT)
		*t = (struct vcr_judging_text){ (char *)git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob), true, true };
	return blob;
}

static void judge_delta(struct diffing *d, const git_diff_delta *delta)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_judging_text before, after;
	struct vcr_jw w;
	git_blob *old = text_of(d, &delta->old_file, delta->status != GIT_DELTA_ADDED, &before);
	git_blob *new = text_of(d, &delta->new_file, delta->status != GIT_DELTA_DELETED, &after);
	d->tally.changes++;
	if (after.known) {
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "path");
		vcr_jw_str(&w, delta->new_file.path);
		vcr_judging_answer(d->run, &w, delta->new_file.path, &before, &after);
		vcr_jw_object_end(&w);
		vcr_tally_take(&d->tally, -1, &b);
	}
	git_blob_free(old);
	git_blob_free(new);
}

static int load_conf(struct diffing *d, struct vcr_error *e)
{
	VCR_AUTO_BUF conf = VCR_BUF_INIT, dir = VCR_BUF_INIT;
	const char *top = git_repository_workdir(d->repo);
	if (!top)
		return 0;
	vcr_buf_printf(&dir, "%s.vcr", top);
	vcr_buf_printf(&conf, "%s/sentinel.conf", dir.data);
	int err = vcr_judging_expect(d->tally.j, conf.data, e);
	return err ? err : vcr_judging_load_baseline(d->tally.j, dir.data, e);
}

int vcr_judging_diff(struct vcr_judging *j, const char *range)
{
	struct diffing d = { .tally = { .j = j } };
	struct vcr_error e = { 0 };
	git_libgit2_init();
	int err = open_diff(&d, range, &e), status = VCR_JUDGED_FAILED;
	if (!err)
		err = load_conf(&d, &e);
	if (!err && !(d.run = vcr_judging_begin(j, NULL)))
		err = vcr_error_set(&e, VCR_ENOMEM, "out of memory");
	for (size_t i = 0; !err && i < git_diff_num_deltas(d.diff); i++)
		judge_delta(&d, git_diff_get_delta(d.diff, i));
	if (err)
		vcr_failed(j->t, &e);
	else
		status = vcr_tally_summary(&d.tally, range);
	if (!err && d.tally.changes && !d.tally.judged) {
		vcr_say(j->t, "nothing was judged: %lld changes, none of code that is understood", (long long)d.tally.changes);
		status = VCR_JUDGED_FAILED;
	}
	vcr_judging_end(d.run);
	vcr_tally_release(&d.tally);
	git_diff_free(d.diff);
	git_repository_free(d.repo);
	git_libgit2_shutdown();
	return status;
}
