/* sentinel-scan.h — every source file below some directories: measured on all processors, judged, and compared with each other.
 *
 * Symbolic links are not followed. Not gone into: .git and the like, directories of dependencies and of build products (node_modules, .venv,
 * __pycache__ …); what is given by name is looked at whatever it is called. Each file that is not measured is in the result with the reason.
 * The result is in the order of the paths, whatever the number of threads. */
#ifndef VCR_SENTINEL_SCAN_H
#define VCR_SENTINEL_SCAN_H
#include "sentinel.h"

struct vcr_scanned_function {
	const char *name; /* qualified */
	uint32_t start_line, end_line, start_byte, end_byte, parameters, cyclomatic, cognitive, nesting, length, tokens;
	uint64_t body, body_renamed;
	bool plain;       /* not a stub, an abstract method or a test */
	bool is_broken;   /* a place in it does not parse */
};
/* A token as clones see it: text is a name's hash, else what the token is; kind as vcr_token.is_name. */
struct vcr_clone_token { uint32_t text; uint32_t line : 30, kind : 2; };
/* By what a file is known to be unchanged. */
struct vcr_file_id { int64_t size, inode, mtime_ns, ctime_ns; };
struct vcr_scanned_file {
	char *path;
	struct vcr_file_id id;
	bool is_cached;        /* it was not read: function, token and words are the cache's */
	int language;          /* -1: none that is known (only files given by name) */
	const char *skipped;   /* NULL: it was measured */
	uint32_t lines;
	bool is_broken;
	struct vcr_scanned_function *function; size_t nfunction;
	struct vcr_clone_token *token; size_t ntoken; /* if clones are looked for */
	struct vcr_findings findings;
	char *words;           /* private: what skipped and the names point into */
};
struct vcr_scan_options {
	const struct vcr_policy *policy;
	unsigned jobs;         /* 0: one for each processor */
	unsigned most_ms;      /* what has not been looked at after so much of the process's time, or four times that by the clock, is skipped; 0: no limit */
	bool keep_unfit;       /* measure generated and minified files too */
	struct vcr_scan_cache *cache; /* NULL: none */
	bool (*excluded)(void *ctx, const char *path); /* a file or directory that is not looked at; may be NULL */
	void (*progress)(void *ctx, size_t done, size_t all); /* from any thread, may be NULL */
	void *ctx;
};
struct vcr_scanned {
	struct vcr_scanned_file *file; size_t n;
	size_t measured, skipped, cached, unread_dirs; /* cached: of the two before */
	unsigned absent;       /* bit per language: files were there, its grammar was not */
	bool is_known; /* the cache has all of it: it need not be written */
	struct vcr_findings across; /* duplicates and clones: between files */
};
/* paths: directories and files. VCR_ENOTFOUND: one of them is not there. */
int vcr_sentinel_scan(char *const *paths, int npaths, const struct vcr_scan_options *o, struct vcr_scanned *out, struct vcr_error *e);
/* Is that the name of a directory that is not gone into? */
bool vcr_scan_is_foreign(const char *name);
void vcr_scanned_release(struct vcr_scanned *s);
/* Copies of what is compared later, of one that is zero but for its path and language: the measure is used again for the next file. VCR_ENOMEM: it is to be
 * released all the same. */
int vcr_scanned_keep(struct vcr_scanned_file *f, const struct vcr_metrics *m, bool want_tokens);
void vcr_scanned_file_release(struct vcr_scanned_file *f);

/* Findings about functions whose body another one has. (duplicates.c) */
int vcr_duplicates(const struct vcr_policy *p, const struct vcr_scanned *s, struct vcr_findings *out);
/* Findings about passages that stand in two places; after vcr_duplicates, whose functions are not said again. (clones.c) */
int vcr_clones(const struct vcr_policy *p, const struct vcr_scanned *s, struct vcr_findings *out);

#endif
