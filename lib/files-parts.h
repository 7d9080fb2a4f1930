/* files-parts.h — the inside of files.h: files.c (marks, sweep), files-look.c (reading and keeping content), files-scan.c (walks, git),
 * files-watch.c (inotify), files-name.c (which path is meant), files-table.c (what is known of each path), files-linked.c (several names), files-group.c (storms). */
#ifndef VCR_FILES_PARTS_H
#define VCR_FILES_PARTS_H
#include "files.h"
#include "ignores.h"
#include "limits.h"
#include <git2.h>
#include <sys/stat.h>

enum {
	VCR_FILES_MAX_PATHS = 1 << 20,     /* paths known, unless the options say otherwise; beyond them the workspace is not known as a whole */
	VCR_FILES_MAX_MARKS = 1 << 18,     /* marks between two sweeps; beyond them a scan takes their place */
	VCR_FILES_MAX_HASHED = 64 << 20,   /* bytes of a file that is hashed though its content is not kept */
	VCR_FILES_MAX_WATCHES = 1 << 16,
	VCR_FILES_GROUPS = 1 << 10,
	VCR_FILES_SLACK_NS = 5000000,      /* from a change to the hook's mark of it, at the most likely */
	VCR_FILES_RACY_NS = 20000000,      /* a file changed this shortly before it was looked at may change again without showing it */
	VCR_FILES_TICK_NS = 10000000,      /* a file's times are those of the kernel's last tick */
};

enum vcr_keep { VCR_KEEP_NONE, VCR_KEEP_GIT, VCR_KEEP_MEMORY };

/* What is known of one path since the last look at it. */
struct vcr_known {
	struct vcr_known *next;
	struct vcr_known *next_inside;   /* chain of what is in the same directory, by its hash */
	struct vcr_known *next_found;    /* of the last vcr_table_below */
	uint64_t ino, dev;
	int64_t size, mtime_ns, ctime_ns;
	int64_t looked_ns;               /* CLOCK_MONOTONIC */
	int64_t told_ns;                 /* likewise: the last look that told what had been done until then. One that inotify alone asked for tells nothing of a write that left all as it was */
	void *kept;                      /* VCR_KEEP_GIT: 20 bytes of object id; VCR_KEEP_MEMORY: `packed` bytes of LZ4 for size bytes */
	uint32_t hash, parent_hash, mode, packed;
	uint32_t round;                  /* the walk that saw it last */
	uint32_t period;                 /* in which it came to be; 0 the base */
	uint32_t aged;                   /* told to options.aged at that number of savepoints */
	int32_t writer;                  /* a hooked process had it open for writing, and may have still; 0 none */
	uint32_t writer_is;              /* which of that number (vcr_files_options.lived) */
	uint8_t keep;
	bool orphan;                     /* its directory is not in the table */
	bool racy, has_sha, ignored;     /* ignored by the user's .gitignore */
	bool several;                    /* the file had more than this name */
	unsigned char sha[32];
	char path[];
};

struct vcr_table { struct vcr_known **slot, **inside; size_t slots, n, orphans, most /* 0: no limit */; };
struct vcr_known *vcr_table_get(const struct vcr_table *t, const char *path);
struct vcr_known *vcr_table_add(struct vcr_table *t, const char *path); /* found or made; NULL: no memory or too many */
void vcr_table_remove(struct vcr_table *t, struct vcr_known *k);         /* out of the table; k is the caller's */
void vcr_table_release(struct vcr_table *t, void (*release)(void *ctx, struct vcr_known *k), void *ctx);
void vcr_table_take(struct vcr_known *to, const struct vcr_known *from); /* all that is known of from, but its name */
/* Everything below a directory, however large the rest is; a list by next_found, good until the next call. */
struct vcr_known *vcr_table_below(const struct vcr_table *t, const char *dir);
/* Move everything below directory `from` to below `to`; what stood there is handed to `release`. */
void vcr_table_move(struct vcr_table *t, const char *from, const char *to, void (*release)(void *ctx, struct vcr_known *k), void *ctx);
uint32_t vcr_path_hash(const char *path);
/* path lies below directory dir ("" is the workspace). */
bool vcr_path_below(const char *path, const char *dir);
/* files-scan.c: the last of these gitignore patterns that fits leaves it out; of the path itself, not of what it is in. */
bool vcr_files_pattern_out(const char *const *pattern, const char *path, bool directory);

/* Changes of one program at one place in this period. */
struct vcr_group { struct vcr_group *chain; unsigned who, n; char path[]; };

/* What a path is to be looked at for. */
struct vcr_file_mark {
	struct vcr_file_mark *chain;     /* hash chain */
	char *origin;                    /* renamed from, or what the new link points to */
	struct vcr_known *buried;        /* what was deleted here before a renamed directory brought something else */
	int64_t first_ns, last_ns, written_ns;
	int64_t seen_ns;                 /* when inotify last said so */
	uint64_t order;
	unsigned writes;
	bool begun;                      /* made or emptied by a hook, and no write has been told since */
	int pid;
	bool hooked, seen, scanned;      /* who says so */
	bool deep;                       /* not hooked, for no hook could name it; pid is who was there */
	bool made, directory;            /* came to be in this interval; was a directory then */
	bool removed;                    /* a hook saw it deleted */
	bool moved_away, link, left;     /* renamed to another name; origin is a link's; moved out of the workspace, as far as is known */
	bool open, closed;               /* a hooked process has it open for writing; had */
	bool grouped;                    /* group is decided; NULL: an edit */
	bool early;                      /* what is known there is what it wrote: before_base, of a sweep */
	bool late;                       /* a directory that nobody has walked or watches yet: vcr_watch_late */
	struct vcr_group *group;
	char path[];
};

struct vcr_inode { uint64_t ino, dev; };

struct vcr_files {
	char *workspace;
	size_t workspace_length;
	int dir;                         /* the workspace */
	const char *const *ignore;       /* a copy */
	bool (*is_secret)(const char *path);
	size_t keep_bytes;
	int max_watches;
	struct vcr_table table;
	struct vcr_file_mark **mark, **chain; /* list in order of arrival; hash slots */
	size_t nmark, mark_room;
	uint64_t order;
	bool must_scan, based, limited;  /* limited: more paths than can be known */
	int64_t based_ns;                /* when the base scan was complete */
	int deep_pid;                    /* who said VCR_MARK_DEEP since the last sweep; 0 nobody, -1 several */
	uint32_t round, period;
	struct vcr_group *group[VCR_FILES_GROUPS];
	size_t ngroup;
	struct vcr_place { char *parent; size_t top; } place[2]; /* of the last path that was there, and of the last that was gone */
	unsigned (*who)(void *ctx, int pid);
	unsigned (*lived)(void *ctx, int pid, int64_t ns);
	void (*touched)(void *ctx, const char *path, bool deep);
	void (*aged)(void *ctx, const char *path, int64_t mtime_ns);
	uint32_t saved;                  /* savepoints so far, and 1 */
	int64_t saved_ns;                /* when the last one was complete */
	void *ctx;
	dev_t device;
	git_repository *repo;
	git_odb *odb;
	struct vcr_ignores ignores;
	char *exclude;                   /* the repository's info/exclude */
	struct vcr_files_stats stats;
	/* inotify */
	int watch;
	char **watched;                  /* path by watch descriptor */
	size_t nwatched;
	struct vcr_inode *linked;        /* vcr_linked_note */
	size_t nlinked, cap_linked;
	size_t nlate;                    /* marks that were late, at most */
	char *kept_dir;                  /* of the last path that was not left out */
	/* last parent directory that a mark named, and what it is in the workspace */
	char *seen_parent, *true_parent;
	/* of the last path that a sweep looked at: its directory, open; -1: none. Not in a sweep: not kept */
	bool sweeping;
	int near;
	char *near_path;
};

/* files-look.c */
struct vcr_look {
	bool exists, read;               /* read: data holds the content (symlink: target) */
	struct stat st;
	struct vcr_buf data;
	bool has_sha;
	unsigned char sha[32];
	int64_t looked_ns;
	bool racy;
};
#define VCR_LOOK_INIT { .data = VCR_BUF_INIT }
void vcr_look_release(struct vcr_look *l);
int64_t vcr_look_changed_ns(const struct vcr_look *l); /* its ctime, by the monotonic clock */
/* What is there; content: read it too, unless the path is withheld. */
void vcr_files_look(struct vcr_files *f, const char *path, struct vcr_look *l, bool content);
bool vcr_files_exists(struct vcr_files *f, const char *path, struct stat *st); /* now */
/* Between them the directory of the path that is looked at stays open for the next: a build's files stand side by side. */
void vcr_files_look_begin(struct vcr_files *f);
void vcr_files_look_end(struct vcr_files *f);
/* The content of a regular file whose directory is open. */
void vcr_files_read_at(struct vcr_files *f, int dir, const char *name, const struct stat *st, struct vcr_look *l);
bool vcr_files_withheld(const struct vcr_files *f, const char *path);
bool vcr_known_same(const struct vcr_known *k, const struct stat *st); /* nothing shows a change */
void vcr_known_set(struct vcr_files *f, struct vcr_known *k, const struct vcr_look *l);
void vcr_known_drop(struct vcr_files *f, struct vcr_known *k);         /* free it */
void vcr_known_forget(struct vcr_files *f, struct vcr_known *k);       /* its content */
/* The old content; false if it cannot be had. */
bool vcr_known_content(struct vcr_files *f, const struct vcr_known *k, struct vcr_buf *out);
int64_t vcr_files_now(void);

/* files-scan.c */
bool vcr_files_left_out(struct vcr_files *f, const char *path, bool directory);
/* Look at everything below a directory ("" the workspace), mark what differs from what is known: as the scan's, as inotify's, or as what inotify would have
 * said had the directory been watched from its beginning, at the times that the files themselves tell. */
enum vcr_walk_as { VCR_WALK_SCAN, VCR_WALK_SEEN, VCR_WALK_LATE };
int vcr_files_walk(struct vcr_files *f, const char *below, enum vcr_walk_as as, struct vcr_error *e);
void vcr_files_open_git(struct vcr_files *f);
bool vcr_files_git_ignores(struct vcr_files *f, const char *name, bool directory);

/* files-watch.c */
void vcr_watch_directory(struct vcr_files *f, int dir, const char *path);
void vcr_watch_moved(struct vcr_files *f, const char *from, const char *to);
void vcr_watch_late(struct vcr_files *f); /* walk and watch the directories that have been made since the last sweep */
void vcr_watch_release(struct vcr_files *f);

/* files-name.c */
/* path as it is known here: parents resolved, the last component as it stands. False: not in the workspace, or left out. */
bool vcr_files_name(struct vcr_files *f, const char *path, char out[VCR_MAX_BENEATH]);
void vcr_files_forget_parent(struct vcr_files *f); /* directories may be others by now */
bool vcr_files_is_deep(const struct vcr_files *f, const char *path); /* no hook can name it: the kernel has no path for it */

/* files-group.c */
void vcr_group_mark(struct vcr_files *f, struct vcr_file_mark *m); /* which group it belongs to, once; counts it */
void vcr_group_forget_places(struct vcr_files *f);                  /* the workspace has changed meanwhile */
void vcr_group_release(struct vcr_files *f);

/* files-linked.c: an inode whose known names are all to be looked at in this sweep or the next; the one behind a path that is known, which gets a further name that may be
 * gone before it is looked at; and those names marked. */
void vcr_linked_note(struct vcr_files *f, uint64_t ino, uint64_t dev);
void vcr_linked_source(struct vcr_files *f, const char *path);
void vcr_linked_mark(struct vcr_files *f, int64_t ns);

/* files.c */
struct vcr_file_mark *vcr_files_find_mark(const struct vcr_files *f, const char *path); /* NULL: there is none */
struct vcr_file_mark *vcr_files_mark_path(struct vcr_files *f, const char *path, int64_t mono_ns); /* NULL: too many */

#endif
