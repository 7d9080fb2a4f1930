#include "limits.h"
#include "sentinel-cache.h"
#include "sentinel-scan.h"
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_JOBS = 256, MAX_FILES = 2000000 };

/* Of the process's own time, and of the clock's; 0: there is none. */
struct deadline { int64_t cpu_ms, clock_ms; };

struct job {
	struct vcr_scanned *s;
	const struct vcr_scan_options *o;
	struct deadline until;
	bool want_tokens;
	atomic_size_t next, done;
	atomic_uint absent;
	atomic_int err;
};

static int64_t ms_of(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct deadline deadline(unsigned most_ms)
{
	return most_ms ? (struct deadline){ ms_of(CLOCK_PROCESS_CPUTIME_ID) + most_ms, ms_of(CLOCK_MONOTONIC) + 4 * (int64_t)most_ms } : (struct deadline){ 0 };
}

static bool is_over(const struct deadline *d)
{
	return d->cpu_ms && (ms_of(CLOCK_PROCESS_CPUTIME_ID) >= d->cpu_ms || ms_of(CLOCK_MONOTONIC) >= d->clock_ms);
}

/* --- which files */

bool vcr_scan_is_foreign(const char *name)
{
	static const char *const names[] = { ".git", ".hg", ".svn", ".vcr", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache",
		".ruff_cache", "site-packages", ".eggs", ".cache", "autom4te.cache", ".idea", ".vs", ".gradle", ".terraform", "bower_components", ".next", ".nuxt" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static int add_file(struct vcr_scanned *s, const char *path, const struct stat *st, int language, const char *skipped)
{
	if (s->n >= MAX_FILES)
		return VCR_ELIMIT;
	if (!(s->n & (s->n - 1))) {
		struct vcr_scanned_file *p = realloc(s->file, (s->n ? s->n * 2 : 1) * sizeof *p);
		if (!p)
			return VCR_ENOMEM;
		s->file = p;
	}
	struct vcr_scanned_file *f = &s->file[s->n];
	*f = (struct vcr_scanned_file){ .path = strdup(path), .language = language, .skipped = skipped, .findings = VCR_FINDINGS_INIT };
	if (st)
		f->id = (struct vcr_file_id){ st->st_size, (int64_t)st->st_ino, (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
			(int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec };
	if (!f->path)
		return VCR_ENOMEM;
	s->n++;
	return 0;
}

static int first_line_language(const char *path)
{
	char head[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
	if (fd >= 0)
		close(fd);
	return n > 2 ? vcr_language_of(path, head, (size_t)n) : -1;
}

/* What is excluded is not gone into; if it was named, it is said. */
static bool is_excluded(const struct vcr_scan_options *o, FTS *tree, FTSENT *entry)
{
	if (!o->excluded || (entry->fts_info != FTS_D && entry->fts_info != FTS_F) || !o->excluded(o->ctx, entry->fts_path))
		return false;
	if (entry->fts_info == FTS_D)
		fts_set(tree, entry, FTS_SKIP);
	return true;
}

static int one_entry(struct vcr_scanned *s, const struct vcr_scan_options *o, FTS *tree, FTSENT *entry)
{
	int language;
	if (is_excluded(o, tree, entry))
		return entry->fts_level ? 0 : add_file(s, entry->fts_path, NULL, -1, "excluded by sentinel.conf");
	switch (entry->fts_info) {
	case FTS_D:
		if (entry->fts_level > 0 && vcr_scan_is_foreign(entry->fts_name))
			fts_set(tree, entry, FTS_SKIP);
		return 0;
	case FTS_DNR:
	case FTS_ERR:
		s->unread_dirs++;
		return add_file(s, entry->fts_path, NULL, -1, "a directory that cannot be read");
	case FTS_NS:
		return add_file(s, entry->fts_path, NULL, -1, "it cannot be read");
	case FTS_F:
		language = vcr_language_of(entry->fts_accpath, NULL, 0);
		if (language < 0 && (!entry->fts_level || !strchr(entry->fts_name, '.')) && entry->fts_statp->st_size > 2)
			language = first_line_language(entry->fts_accpath);
		if (language >= 0)
			return add_file(s, entry->fts_path, entry->fts_statp, language, NULL);
		return entry->fts_level ? 0 : add_file(s, entry->fts_path, NULL, -1, "of no language that is known");
	case FTS_SL:
	case FTS_SLNONE:
		return vcr_language_of(entry->fts_path, NULL, 0) >= 0 || !entry->fts_level ? add_file(s, entry->fts_path, NULL, -1, "a symbolic link") : 0;
	default:
		return entry->fts_level || entry->fts_info == FTS_DP || entry->fts_info == FTS_DC ? 0 : add_file(s, entry->fts_path, NULL, -1, "no regular file");
	}
}

static int compare_entries(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int find_files(struct vcr_scanned *s, const struct vcr_scan_options *o, const char *path, const struct deadline *until, struct vcr_error *e)
{
	struct stat st;
	char *const roots[] = { (char *)path, NULL };
	if (stat(path, &st))
		return errno == ENOENT || errno == ENOTDIR ? vcr_error_set(e, VCR_ENOTFOUND, "%s: %s", path, strerror(errno)) : vcr_error_sys(e, errno, "%s", path);
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_COMFOLLOW, compare_entries);
	FTSENT *entry;
	int err = tree ? 0 : VCR_ENOMEM;
	while (!err && !is_over(until) && (entry = fts_read(tree)) != NULL)
		err = one_entry(s, o, tree, entry);
	if (tree)
		fts_close(tree);
	return err ? vcr_error_set(e, err, "%s: %s", path, err == VCR_ELIMIT ? "too many files" : "no memory") : 0;
}

/* --- each file */

/* The whole file; NULL: *why says it. */
static char *read_file(const char *path, size_t *n, const char **why)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *p = NULL;
	*why = "it cannot be read";
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
		if (st.st_size > VCR_MAX_SOURCE)
			*why = "too large";
		else if ((p = malloc((size_t)st.st_size + 1)) != NULL) {
			ssize_t k;
			for (*n = 0; *n < (size_t)st.st_size && (k = read(fd, p + *n, (size_t)st.st_size - *n)) > 0;)
				*n += (size_t)k;
			p[*n] = 0;
		}
	}
	if (fd >= 0)
		close(fd);
	return p;
}

int vcr_scanned_keep(struct vcr_scanned_file *f, const struct vcr_metrics *m, bool want_tokens)
{
	size_t words = 1;
	for (size_t i = 0; i < m->nfunction; i++)
		words += strlen(m->function[i].qualified) + 1;
	f->function = malloc((m->nfunction + 1) * sizeof *f->function);
	char *w = f->words = malloc(words);
	if (!f->function || !w)
		return VCR_ENOMEM;
	for (size_t i = 0; i < m->nfunction; i++) {
		const struct vcr_function *from = &m->function[i];
		size_t n = strlen(from->qualified) + 1;
		memcpy(w, from->qualified, n);
		f->function[f->nfunction++] = (struct vcr_scanned_function){ w, from->start_line, from->end_line, from->start_byte, from->end_byte, from->parameters,
			from->cyclomatic, from->cognitive, from->nesting, from->length, from->tokens, from->body, from->body_renamed, !from->is_stub && !from->is_abstract,
			from->is_broken };
		w += n;
	}
	f->lines = m->lines;
	f->is_broken = m->is_broken;
	if (want_tokens && m->ntoken) {
		if (!(f->token = malloc(m->ntoken * sizeof *f->token)))
			return VCR_ENOMEM;
		for (size_t i = 0; i < m->ntoken; i++) {
			const struct vcr_token *t = &m->token[i];
			if (t->is_name == 2 && i && m->token[i - 1].is_name == 2) /* a string's quotes and words are one */
				continue;
			f->token[f->ntoken++] = (struct vcr_clone_token){ t->is_name == 2 ? t->symbol : t->text, t->line, t->is_name };
		}
	}
	return 0;
}

static int skip(struct vcr_scanned_file *f, const char *why)
{
	free(f->words);
	f->skipped = f->words = strdup(why);
	return f->words ? 0 : VCR_ENOMEM;
}

static int measure(struct job *j, struct vcr_measure *measure, struct vcr_scanned_file *f)
{
	const char *why;
	size_t n;
	struct vcr_metrics m;
	struct vcr_error e = { 0 };
	int err = 0;
	if (j->o->cache && vcr_scan_cache_get(j->o->cache, f))
		return 0;
	char *text = read_file(f->path, &n, &why);
	if (!text)
		return skip(f, why);
	why = vcr_source_unfit(f->path, text, n);
	if (why && !(j->o->keep_unfit && (!strcmp(why, "generated") || !strcmp(why, "minified"))))
		err = skip(f, why);
	else if ((err = vcr_measure(measure, f->language, text, n, &m, &e)) == VCR_ENOTFOUND || err == VCR_EVERSION || err == VCR_ECORRUPT) {
		j->absent |= 1u << f->language;
		err = skip(f, "its language's grammar is not installed");
	} else if (err == VCR_ELIMIT)
		err = skip(f, e.what);
	else if (!err && !(err = vcr_scanned_keep(f, &m, j->want_tokens)))
		err = vcr_sentinel_judge(j->o->policy, f->path, text, n, &m, &f->findings);
	free(text);
	return err;
}

static void *work(void *ctx)
{
	struct job *j = ctx;
	struct vcr_measure *m = vcr_measure_new();
	if (!m)
		j->err = VCR_ENOMEM;
	for (size_t i; m && !j->err && (i = atomic_fetch_add(&j->next, 1)) < j->s->n;) {
		bool late = is_over(&j->until);
		int err = j->s->file[i].skipped ? 0 : late ? skip(&j->s->file[i], "there was no time for it") : measure(j, m, &j->s->file[i]);
		if (err)
			j->err = err;
		size_t done = atomic_fetch_add(&j->done, 1) + 1;
		if (j->o->progress)
			j->o->progress(j->o->ctx, done, j->s->n);
	}
	vcr_measure_free(m);
	return NULL;
}

static void work_on_all(struct job *j)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t jobs = j->o->jobs ? j->o->jobs : cpus > 0 ? (size_t)cpus : 1, started = 0;
	pthread_t thread[MAX_JOBS];
	if (jobs > MAX_JOBS)
		jobs = MAX_JOBS;
	if (jobs > j->s->n / 4 + 1)
		jobs = j->s->n / 4 + 1;
	while (started + 1 < jobs && !pthread_create(&thread[started], NULL, work, j))
		started++;
	work(j);
	while (started)
		pthread_join(thread[--started], NULL);
}

static bool is_on(const struct vcr_policy *p, enum vcr_rule_id rule)
{
	return vcr_policy_severity(p, rule, INT64_MAX, NULL) != VCR_SEVERITY_OFF;
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct vcr_scanned_file *)a)->path, ((const struct vcr_scanned_file *)b)->path);
}

/* A path may have been given twice, or within another one. */
static void sort_and_unite(struct vcr_scanned *s)
{
	size_t to = 0;
	if (s->n)
		qsort(s->file, s->n, sizeof *s->file, compare_files);
	for (size_t i = 0; i < s->n; i++)
		if (to && !strcmp(s->file[to - 1].path, s->file[i].path))
			free(s->file[i].path);
		else
			s->file[to++] = s->file[i];
	s->n = to;
}

int vcr_sentinel_scan(char *const *paths, int npaths, const struct vcr_scan_options *o, struct vcr_scanned *out, struct vcr_error *e)
{
	struct vcr_scanned s = { .across = VCR_FINDINGS_INIT };
	struct job j = { .s = &s, .o = o, .want_tokens = is_on(o->policy, VCR_RULE_CLONE), .until = deadline(o->most_ms) };
	int err = 0;
	for (int i = 0; i < npaths && !err; i++)
		err = find_files(&s, o, paths[i], &j.until, e);
	if (err) {
		vcr_scanned_release(&s);
		return err;
	}
	sort_and_unite(&s);
	work_on_all(&j);
	s.absent = j.absent;
	for (size_t i = 0; i < s.n; i++)
		if (s.file[i].skipped)
			s.skipped++;
		else
			s.measured++;
	for (size_t i = 0; i < s.n; i++)
		s.cached += s.file[i].is_cached;
	err = j.err;
	if (!err && o->cache && vcr_scan_cache_across(o->cache, &s, &s.across)) {
		s.is_known = true;
		*out = s;
		return 0;
	}
	if (!err && is_on(o->policy, VCR_RULE_DUPLICATE))
		err = vcr_duplicates(o->policy, &s, &s.across);
	if (!err && j.want_tokens)
		err = vcr_clones(o->policy, &s, &s.across);
	if (err) {
		vcr_scanned_release(&s);
		return vcr_error_set(e, err, "%s", vcr_strerror(err));
	}
	*out = s;
	return 0;
}

void vcr_scanned_file_release(struct vcr_scanned_file *f)
{
	free(f->path);
	free(f->function);
	vcr_findings_release(&f->findings);
	if (!f->is_cached) {
		free(f->words);
		free(f->token);
	}
}

void vcr_scanned_release(struct vcr_scanned *s)
{
	for (size_t i = 0; i < s->n; i++)
		vcr_scanned_file_release(&s->file[i]);
	free(s->file);
	vcr_findings_release(&s->across);
	memset(s, 0, sizeof *s);
}
