/* files.h — the truth about files: what the workspace looked like, what it looks like now, and who touched it.
 *
 * A base scan knows every file's identity (type, mode, size, times, inode) and where its content can be had: a tracked clean file from the user's
 * git objects (libgit2, read only), others from memory (LZ4, within keep_bytes), larger ones nowhere. Marks (from hooks, inotify or a scan) say which
 * paths to look at; a sweep reads them at a quiet point and reports one change per path with its old and new content. A final scan finds what no mark
 * announced. Left out: .git, .vcr, what the configured patterns name, pseudo file systems. Symlinks are not followed, in no component.
 *
 * Marks may come late (they wait in the spool): one whose time is before the last look at its path has been reported already. What hooks and
 * inotify both saw is reported once, as the hook's. Of a storm, as a build or an installation makes it, each change says how many there are of
 * it (files-group.c); all are reported. Not thread-safe. */
#ifndef VCR_FILES_H
#define VCR_FILES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

enum vcr_mark_op { VCR_MARK_WRITE, VCR_MARK_BEGIN /* made or emptied: the first write that follows counts with it, for it need not be said */, VCR_MARK_OPEN /* opened writable, nothing changed yet */, VCR_MARK_EXCHANGE, VCR_MARK_RENAME, VCR_MARK_UNLINK, VCR_MARK_LINK, VCR_MARK_MODE, VCR_MARK_MKDIR, VCR_MARK_RMDIR, VCR_MARK_CLOSE,
	VCR_MARK_DEEP /* something, where no path of the kernel's reaches: what inotify or a scan finds there was this process */, VCR_MARK_SEEN /* inotify only */ };
enum vcr_change_kind { VCR_CHANGE_WRITE, VCR_CHANGE_RENAME, VCR_CHANGE_DELETE, VCR_CHANGE_MODE, VCR_CHANGE_LINK, VCR_CHANGE_MKDIR, VCR_CHANGE_RMDIR };
enum vcr_change_source { VCR_SOURCE_SHIM, VCR_SOURCE_WATCH, VCR_SOURCE_SCAN };

struct vcr_file_state {
	bool exists;
	unsigned mode;              /* st_mode */
	int64_t size;
	char sha256[65];            /* "" if unknown or withheld */
	const char *content;        /* NULL if not kept (too large, secret, unknown); symlink: its target */
	size_t len;
};
struct vcr_change {
	enum vcr_change_kind kind;
	const char *path, *old_path; /* relative to the workspace; old_path for renames (also of what is gone again) and links */
	struct vcr_file_state before, after; /* of a rename to a new name: before is what stood at the old one */
	unsigned writes;             /* marks of writing since the last sweep */
	bool transient;              /* made and gone again within the interval; a DELETE or RMDIR without before */
	bool withheld;               /* a secret file: no content, no hash */
	bool before_unknown;         /* the base scan came later: what stood there before nobody can say */
	enum vcr_change_source source;
	int pid;                     /* who, 0 if unknown */
	int64_t first_ns, last_ns;   /* monotonic times of the marks */
	const char *place;           /* of a storm: the directory that it is told by ("" the workspace); NULL: an edit, which stands for itself */
	unsigned storm;              /* changes of this place by this program in this period: so far, and those that this sweep is about to report */
};
typedef int vcr_change_fn(void *ctx, const struct vcr_change *c);

struct vcr_files_options {
	const char *workspace;
	const char *const *ignore;   /* further gitignore-style patterns, NULL-terminated or NULL */
	bool (*is_secret)(const char *path);
	size_t keep_bytes;           /* memory for old contents; 0: 64 MiB */
	int max_paths, max_watches;  /* known, and watched by inotify, at the most; 0: 1,048,576 and 65,536 */
	unsigned (*who)(void *ctx, int pid); /* a number for the program of a process (0 unknown), the same for all that run it; NULL: the pid */
	/* A number that is this process's alone, for one that lived at that monotonic time (pids are given again); 0: none did. NULL: who is not known to be dead lives. */
	unsigned (*lived)(void *ctx, int pid, int64_t ns);
	void (*touched)(void *ctx, const char *path, bool deep); /* each path that a sweep looked at, told as a change or not; deep: if it is a directory, all in it may be another; NULL */
	void (*aged)(void *ctx, const char *path, int64_t mtime_ns); /* a file or link is not any more what it was known to be, with that modification time: once for each path
	                              * until vcr_files_saved; NULL */
	void *ctx;
};
struct vcr_files;
/* Opens, starts inotify (a fd to poll, -1 if the kernel refuses), does not scan. */
int vcr_files_new(struct vcr_files **f, const struct vcr_files_options *o, struct vcr_error *e);
void vcr_files_free(struct vcr_files *f);
int vcr_files_watch_fd(const struct vcr_files *f);
/* The base scan. Returns 0; 1 if limits kept it from knowing everything (counted in stats). */
int vcr_files_scan_base(struct vcr_files *f, struct vcr_error *e);
/* A mark. Paths absolute (as the program named them: may hold "..", links in directories) or relative to the workspace; ignored when outside. */
void vcr_files_mark(struct vcr_files *f, enum vcr_mark_op op, const char *path, const char *path2, int pid, int64_t mono_ns);
/* Read what inotify has. */
void vcr_files_read_watch(struct vcr_files *f);
/* Is there anything for a sweep to look at? */
bool vcr_files_pending(const struct vcr_files *f);
/* A quiet point (also before the base scan, by a collector that comes late): look at every marked path, report the changes in order of their first mark, make them the new base.
 * upto_ns: marks of hooks up to this time have been handed over (INT64_MAX: all). What inotify alone saw later, or only just before, waits for the
 * next sweep: a hook's mark that says who it was may be on its way. */
int vcr_files_sweep(struct vcr_files *f, int64_t upto_ns, vcr_change_fn *fn, void *ctx, struct vcr_error *e);
/* Compare the whole workspace with what is known; report the rest with source SCAN. */
int vcr_files_scan_end(struct vcr_files *f, vcr_change_fn *fn, void *ctx, struct vcr_error *e);
/* A new period begins: storms are counted anew, and what is there now is not new any more. */
void vcr_files_period(struct vcr_files *f);
/* A savepoint was taken: what changes from here on is told to `aged` again. */
void vcr_files_saved(struct vcr_files *f);
struct vcr_files_stats {
	int64_t files, files_limit;       /* paths known */
	int64_t bytes_kept, bytes_limit;  /* memory for contents */
	int64_t unread;     /* files whose content was wanted and could not be read or was too large */
	int64_t overflows;  /* times that inotify lost events; each is followed by a scan */
	int64_t watches, watches_limit;   /* directories watched */
	int64_t unwatched;  /* directories that could not be */
};
void vcr_files_stats(const struct vcr_files *f, struct vcr_files_stats *s);

#endif
