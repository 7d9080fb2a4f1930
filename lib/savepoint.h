/* savepoint.h — the workspace as it was, again and again: savepoints in a shadow repository outside the workspace.
 *
 * STATE/shadow.git is a bare git repository that any git can read. A savepoint is a commit with a ref refs/vcr/<session>/<n>; n counts from 0, the
 * base. Its tree holds every file that was kept:
 *   - modes in full (100600, 40700 …: git shows them as 644, 755 and so on); symbolic links; empty directories as the empty tree;
 *   - a blob that begins with VCR_SEAL_MAGIC is sealed: files that hold secrets, and files whose own text begins so. 12 bytes of nonce, 16 bytes
 *     of tag, then AES-256-GCM under STATE/seal.key. The nonce is made from the content, so equal content is an equal blob;
 *   - a name that holds a secret is VCR_SEAL_NAME and the hex digits of what would follow the magic;
 *   - extended attributes and access control lists of NAME (attrs.h) are a sealed file 100644 beside it, VCR_ATTRS_NAME and its stored name; there is none where
 *     a file has none. A file of the workspace that is called so has a sealed name. Not of files whose content is not kept;
 *   - 160000 + permissions: a file whose content was not kept (too large, unreadable, in a directory that a package manager or a build fills: node_modules,
 *     virtual environments, build caches); the id stands for its size, time and inode. preimage.h has the content if it was kept when it went;
 *   - 170000 + permissions: a directory that was not looked into (other file systems; more than 400,000 files of that kind).
 *   - paths of up to 65,535 bytes: those that are longer than the kernel takes at once too; directories beyond 256 inside one another are not looked into.
 * Left out: .git at any depth, directories named .vcr, the state directory, sockets, pipes, devices, and owners, times (times.h has them), and attributes of the workspace itself.
 *
 * The user's repository is only read: blobs that its index knows to be clean are taken over by linking its packs and loose objects, so
 * that no gc there takes them away. What does not open (sha256, partial clones, foreign owners, no repository) is read file by file.
 *
 * A savepoint costs what changed: the trees along the named paths are written anew, nothing else is looked at. A file that changed while it was
 * read makes it VCR_SAVEPOINT_UNSTABLE. Savepoints survive the end of any process at any moment (ref last); they are not flushed to the disk.
 * One store per process and workspace; not for two threads at once. $HOME and / are refused (VCR_EINVAL). */
#ifndef VCR_SAVEPOINT_H
#define VCR_SAVEPOINT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

struct vcr_store;
struct vcr_store_options {
	const char *workspace;  /* absolute, resolved */
	const char *state_dir;  /* vcr_paths_state_dir(workspace) */
	const char *vcr_dir;    /* absolute; left out when it is inside the workspace. NULL: only names .vcr are */
	const char *session;    /* whose savepoints are taken and listed; NULL when only reading */
	bool (*is_secret)(const char *path);                                   /* sealed by name; NULL: vcr_redact_is_secret_file */
	bool (*has_secret)(void *ctx, const char *path, const char *p, size_t n); /* sealed by content (of a file, a link, a name); NULL: nothing is */
	bool (*leave_out)(void *ctx, const char *path, bool directory);        /* further paths that are no part of savepoints; NULL */
	void *ctx;
	int64_t max_file;       /* bytes kept of one file; 0: 16 MiB */
	int64_t max_base;       /* bytes read for a base, beside what git has; 0: 256 MiB */
};
/* Opens STATE/shadow.git, makes it when there is none. */
int vcr_store_open(struct vcr_store **s, const struct vcr_store_options *o, struct vcr_error *e);
void vcr_store_free(struct vcr_store *s);

enum vcr_savepoint_flag { VCR_SAVEPOINT_UNSTABLE = 1, VCR_SAVEPOINT_LIMITED = 2 /* something was too large to be kept */ };
struct vcr_savepoint {
	int64_t n;              /* -1: not of a session (before and after a rollback) */
	char commit[41], tree[41];
	char kind[16];          /* base, call, end, manual */
	char frame_id[40];      /* the frame that it belongs to, "" none */
	char message[160];
	char session[104];      /* whose it is */
	int64_t time_ns;        /* real time */
	unsigned flags;
	bool attrs;             /* its tree tells of attributes: what has none there had none. false: taken before they were kept */
};

struct vcr_store_note {
	const char *kind, *frame_id, *message, *session; /* all but kind may be NULL; session: the store's own */
	int64_t as_of_ns;       /* real time that it is to show: a file written later makes it unstable; 0: now */
};
/* Everything is looked at: the base, and to catch up after a crash. Takes the session's next n. */
int vcr_store_base(struct vcr_store *s, const struct vcr_store_note *note, struct vcr_savepoint *out, struct vcr_error *e);

struct vcr_store_dirty {
	const char *path;       /* relative to the workspace; what is no valid name (beneath.h) is passed over */
	bool deep;              /* if it is a directory, look at everything in it, not only at its mode */
};
/* The last savepoint with the dirty paths as they are now. Kind "call" with nothing changed is the last savepoint again, without a new one. The
 * first of a session without a base (VCR_ENOTFOUND) needs vcr_store_base. */
int vcr_store_take(struct vcr_store *s, const struct vcr_store_dirty *dirty, size_t n, const struct vcr_store_note *note, struct vcr_savepoint *out, struct vcr_error *e);

/* As vcr_store_options.leave_out says it. */
bool vcr_store_leaves_out(const struct vcr_store *s, const char *path, bool directory);
/* What savepoints have names of, and no content: for who keeps it otherwise (preimage.h). Directories relative to the workspace, in the order in which they were
 * found; small: files below `larger` bytes too, somewhere. */
struct vcr_store_unkept { const char *const *heavy; size_t nheavy; int64_t larger; bool small; };
void vcr_store_unkept(const struct vcr_store *s, struct vcr_store_unkept *out);

/* At a session's end: the many small objects of its savepoints become one pack, a tenth in size. */
int vcr_store_pack(struct vcr_store *s, struct vcr_error *e);

/* The savepoints of a session in another store, with the same key (sealkey.h) and on the same file system, become this one's too: objects get second names. */
int vcr_store_adopt(struct vcr_store *s, struct vcr_store *from, const char *session, struct vcr_error *e);

/* For who reads for long: no housekeeping takes anything away until the store is freed. */
int vcr_store_hold(struct vcr_store *s, struct vcr_error *e);

/* Savepoint n of a session; n < 0: its last one. VCR_ENOTFOUND. */
int vcr_store_get(struct vcr_store *s, const char *session, int64_t n, struct vcr_savepoint *out, struct vcr_error *e);
/* By commit id (40 hex digits). */
int vcr_store_get_commit(struct vcr_store *s, const char *commit, struct vcr_savepoint *out, struct vcr_error *e);
/* The same, and the id of its parent ("" none); commit and parent may be one. */
int vcr_store_get_parent(struct vcr_store *s, const char *commit, struct vcr_savepoint *out, char parent[41], struct vcr_error *e);
/* The last savepoint of a session at or before a time; VCR_ENOTFOUND if all are later. */
int vcr_store_get_time(struct vcr_store *s, const char *session, int64_t time_ns, struct vcr_savepoint *out, struct vcr_error *e);

/* From now on the store notes what it reads and writes; vcr_store_flush sends that to the disk (flush.h), wait: until it is
 * there. 0; 1: the file system keeps no order, or memory is short: then only syncfs(2) helps; -1 (errno): it cannot be written. */
void vcr_store_track(struct vcr_store *s);
int vcr_store_flush(struct vcr_store *s, bool wait);
/* The disk has them: they need no further flush. */
void vcr_store_flushed(struct vcr_store *s);

/* ---- Trees: for rollback.h and whoever compares savepoints ---- */

#define VCR_SEAL_MAGIC "vcr-sealed-1\n"
#define VCR_SEAL_NAME "vcr-sealed-1."
#define VCR_ATTRS_NAME "vcr-attributes-1."
enum { VCR_OID = 20 };
enum vcr_entry_type { VCR_ENTRY_FILE = 0100000, VCR_ENTRY_DIR = 0040000, VCR_ENTRY_LINK = 0120000, VCR_ENTRY_LARGE = 0160000, VCR_ENTRY_HEAVY = 0170000,
	VCR_ENTRY_TYPE = 0170000 };
struct vcr_entry { unsigned mode; unsigned char oid[VCR_OID], attrs[VCR_OID]; }; /* mode 0: nothing is there; attrs zero: none */
bool vcr_entry_same(const struct vcr_entry *a, const struct vcr_entry *b);
/* But for their attributes. */
bool vcr_entry_alike(const struct vcr_entry *a, const struct vcr_entry *b);

/* Every path that differs between two trees, a directory before what is in it. For two directories only the mode counts, their ids are zero. */
typedef int vcr_store_diff_fn(void *ctx, const char *path, const struct vcr_entry *a, const struct vcr_entry *b);
int vcr_store_diff(struct vcr_store *s, const char *tree_a, const char *tree_b, vcr_store_diff_fn *fn, void *ctx, struct vcr_error *e);
/* What a tree has at path; mode 0: nothing. A directory's id is that of its tree. */
int vcr_store_find(struct vcr_store *s, const char *tree, const char *path, struct vcr_entry *out, struct vcr_error *e);
/* What is at path now; a directory's id is zero. If the content equals that of known[i] (NULL ends the list), *out is known[i] but for the
 * mode. Other content is sealed and, with keep, stored. Sockets and the like are VCR_ENTRY_LARGE. */
int vcr_store_look(struct vcr_store *s, const char *path, const struct vcr_entry *const *known, bool keep, struct vcr_entry *out, struct vcr_error *e);
/* Is the file at path still the one that `large` (VCR_ENTRY_LARGE) stands for? Its owner's vcr_store_look may read what the recording could not. */
bool vcr_store_is_large(struct vcr_store *s, const char *path, const struct vcr_entry *large);
/* What a VCR_ENTRY_LARGE of the regular file at path would be; false: there is none. */
bool vcr_store_large(struct vcr_store *s, const char *path, struct vcr_entry *out);
/* Its attributes as text (attrs.h), unsealed; nothing if it has none. */
int vcr_store_read_attrs(struct vcr_store *s, const struct vcr_entry *entry, struct vcr_buf *out, struct vcr_error *e);
/* Content of a file or target of a link, unsealed. VCR_ENOTFOUND for what was not kept. */
int vcr_store_read(struct vcr_store *s, const struct vcr_entry *entry, struct vcr_buf *out, struct vcr_error *e);
/* A tree with entries put in their places (mode 0: taken out). A directory's id zero: only its mode and attributes are set, it is made if need be. */
struct vcr_store_put { const char *path; struct vcr_entry entry; };
int vcr_store_patch(struct vcr_store *s, const char *tree, struct vcr_store_put *put, size_t n, char out[41], struct vcr_error *e);
/* A commit of a tree that tells of attributes (parent may be NULL) and the name that keeps it: refs/<ref> (NULL: none). */
int vcr_store_commit(struct vcr_store *s, const char *tree, const char *parent, const char *ref, const struct vcr_store_note *note, char out[41], struct vcr_error *e);
int vcr_store_set_ref(struct vcr_store *s, const char *ref, const char *commit, struct vcr_error *e);
/* The commit behind refs/<ref>; VCR_ENOTFOUND. Its parent's id goes to parent ("" none), which may be NULL. */
int vcr_store_ref(struct vcr_store *s, const char *ref, struct vcr_savepoint *out, char parent[41], struct vcr_error *e);

#endif
