/* workspace.h — where a test of vcr_files works: a directory of its own under /tmp, the names in it, and what was said of it. */
#ifndef VCR_TESTS_WORKSPACE_H
#define VCR_TESTS_WORKSPACE_H
#include "files-parts.h"
#include "tap.h"
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static struct vcr_files *files;
static struct vcr_buf said; /* a line for each change */
static const char *const change_kind[] = { "write", "rename", "delete", "mode", "link", "mkdir", "rmdir" }, *const change_source[] = { "shim", "watch", "scan" };

/* The path of name in the workspace; good until the fourth call after it. An absolute name is itself. */
static char *in(const char *name)
{
	static char path[4][4200];
	static unsigned k;
	snprintf(path[++k % 4], sizeof path[0], "%s%s%s", *name == '/' ? "" : dir, *name == '/' ? "" : "/", name);
	return path[k % 4];
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in(name), "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* A new empty directory, its path in the 64 bytes of d. */
static void make_directory(char *d)
{
	strcpy(d, "/tmp/vcr-test-files-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(d));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *w)
{
	return remove(path);
}

static void remove_directory(const char *d)
{
	nftw(d, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void workspace_begin(void)
{
	make_directory(dir);
	vcr_buf_init(&said, 0);
}

static void workspace_end(void)
{
	vcr_files_free(files);
	files = NULL;
	vcr_buf_release(&said);
	remove_directory(dir);
}

/* Watched and looked at once; with further options, or none. */
static inline void make_files(const struct vcr_files_options *more)
{
	struct vcr_files_options o = more ? *more : (struct vcr_files_options){ 0 };
	o.workspace = dir;
	ck_assert_int_eq(vcr_files_new(&files, &o, NULL), 0);
	ck_assert_int_eq(vcr_files_scan_base(files, NULL), 0);
}

/* A hook's mark, now. */
static inline void mark(enum vcr_mark_op op, const char *name, const char *name2)
{
	vcr_files_mark(files, op, in(name), name2 ? in(name2) : NULL, 7, vcr_files_now());
}

static inline void hooked_write(const char *name, const char *text)
{
	put(name, text);
	mark(VCR_MARK_WRITE, name, NULL);
	mark(VCR_MARK_CLOSE, name, NULL);
}

#endif
