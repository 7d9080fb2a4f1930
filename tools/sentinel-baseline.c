/* vcr sentinel baseline — what is there already is kept, and what is no worse than it is not said any more. */
#include "sentinel-baseline.h"
#include "judging.h"
#include "paths.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int vcr_judging_load_baseline(struct vcr_judging *j, const char *dir, struct vcr_error *e)
{
	vcr_baseline_free(j->baseline);
	j->baseline = NULL;
	return j->no_baseline ? 0 : vcr_baseline_load(dir, &j->baseline, e);
}

/* A path of a scan from the top of the workspace; as it is if it is not below that. */
static void put_relative(const struct vcr_judging *j, const char *path, struct vcr_buf *out)
{
	char *real = j->top ? realpath(path, NULL) : NULL;
	size_t n = real ? strlen(j->top) : 0;
	vcr_buf_reset(out);
	vcr_buf_puts(out, real && !strncmp(real, j->top, n) && real[n] == '/' ? real + n + 1 : real ? real : path);
	free(real);
}

/* The findings are sorted: a path is looked up once. */
void vcr_judging_drop_known(struct vcr_judging *j, struct vcr_findings *all)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	const char *last = "";
	size_t to = 0;
	if (!j->baseline)
		return;
	vcr_baseline_again(j->baseline);
	for (size_t i = 0; i < all->n; i++) {
		if (strcmp(last, all->item[i].path))
			put_relative(j, all->item[i].path, &path);
		last = all->item[i].path;
		if (!vcr_baseline_has(j->baseline, &all->item[i], path.data))
			all->item[to++] = all->item[i];
	}
	j->known = all->n - to;
	all->n = to;
}

int vcr_judging_keep(struct vcr_judging *j, const struct vcr_scanned *s, const struct vcr_findings *all)
{
	VCR_AUTO_FINDINGS kept = VCR_FINDINGS_INIT;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	const char *last = "";
	struct vcr_error e = { 0 };
	int err = vcr_paths_make_vcr_dir(j->dir, &e);
	for (size_t i = 0; i < all->n && !err; i++) {
		struct vcr_finding f = all->item[i];
		if (strcmp(last, f.path))
			put_relative(j, f.path, &path);
		last = f.path;
		f.path = path.data;
		err = vcr_findings_add(&kept, &f);
	}
	if (!err)
		err = vcr_baseline_write(j->dir, &kept, &e);
	if (err) {
		vcr_error_set(&e, err, "%s", *e.what ? e.what : vcr_strerror(err));
		vcr_failed(j->t, &e);
		return VCR_JUDGED_FAILED;
	}
	if (!j->t->quiet)
		printf("%zu findings of %zu files are the baseline: %s/sentinel-baseline.json\n", all->n, s->measured, j->dir);
	return VCR_JUDGED_CLEAN;
}
