/* savepoint-parts.h — the inside of savepoint.h: savepoint.c (repository, commits, names), -tree.c (trees), -walk.c (the workspace), -seal.c
 * (secrets), -pack.c (many objects at once), -borrow.c (the user's repository), -ahead.c (what is in a directory), -attrs.c (extended attributes), -flush.c (to the disk), -adopt.c (from another store), -refs.c (names, the lock), -gc.c (housekeeping). */
#ifndef VCR_SAVEPOINT_PARTS_H
#define VCR_SAVEPOINT_PARTS_H
#include "savepoint.h"
#include "limits.h"
#include <git2.h>
#include <git2/sys/odb_backend.h>
#include <openssl/evp.h>
#include <sys/stat.h>

enum { VCR_STORE_DEPTH = VCR_MAX_DEPTH, VCR_STORE_NAMES = 400000 /* files in heavy directories, in one savepoint */, VCR_REFS_MAX = 256 << 20 };

struct vcr_pack;
struct vcr_borrow;
struct vcr_store {
	int root;                   /* the workspace */
	struct stat root_st, state_st;
	char *workspace, *git_dir, *state_dir;
	char *vcr_rel;              /* the .vcr directory relative to the workspace; NULL if it is elsewhere */
	char *session, *refs;       /* its id; its directory of refs, relative to git_dir */
	bool (*is_secret)(const char *path);
	bool (*has_secret)(void *ctx, const char *path, const char *p, size_t n);
	bool (*leave_out)(void *ctx, const char *path, bool directory);
	void *ctx;
	int64_t max_file, max_base;
	git_odb *odb;
	git_odb_backend *loose;     /* of odb */
	EVP_MD_CTX *sha1;
	bool git_started;
	bool have_key;
	unsigned char key[32];
	unsigned char (*written)[VCR_OID]; /* loose objects made by this store */
	size_t nwritten, cap_written;
	bool tracks, untracked;     /* notes what it reads and writes in used; did so as far as memory went */
	unsigned char (*used)[VCR_OID];
	size_t nused, cap_used;
	unsigned char (*settled)[VCR_OID]; /* sorted; the disk has them */
	size_t nsettled;
	struct vcr_savepoint last;  /* n -1: none yet */
	/* while a savepoint is made */
	struct vcr_pack *pack;      /* where objects go; NULL: loose */
	struct vcr_borrow *borrow;  /* NULL: nothing */
	int64_t budget;             /* bytes that may still be read */
	int64_t names;              /* files whose names alone may still be noted */
	bool in_heavy;              /* what is looked at now is in one of heavy */
	char **heavy;               /* directories whose files' content is not kept */
	size_t nheavy, cap_heavy;
	bool small_unkept;
	int64_t as_of_ns;
	char **secret_name;         /* names that were sealed when they were read or written: they stay so */
	size_t nsecret_name;
	unsigned flags;
	struct vcr_buf scratch, sealed;
	int lock;                   /* STATE/shadow.lock; -1: it is not held */
	uint64_t age;               /* of what odb knows */
	bool held;                  /* shared until the store is freed */
	struct vcr_buf packed;      /* packed-refs */
	struct stat packed_st;
};

/* savepoint.c: an object of the shadow repository, written unless it is there. */
int vcr_store_object(struct vcr_store *s, git_object_t type, const void *p, size_t n, unsigned char oid[VCR_OID], struct vcr_error *e);
int vcr_store_git_error(struct vcr_error *e, int code, const char *what);
bool vcr_store_has(struct vcr_store *s, const unsigned char oid[VCR_OID]);
void vcr_store_hex(const unsigned char oid[VCR_OID], char out[41]);
bool vcr_store_unhex(const char *hex, unsigned char oid[VCR_OID]);

/* savepoint-refs.c. A name is "refs/…". Shared: true if the objects must be opened anew. Alone: for who takes objects away; VCR_EBUSY. */
void vcr_store_lock_look(struct vcr_store *s); /* how often objects have been taken away until now */
bool vcr_store_lock_shared(struct vcr_store *s);
int vcr_store_lock_alone(struct vcr_store *s, int wait_ms, struct vcr_error *e);
void vcr_store_unlock(struct vcr_store *s);
char *vcr_refs_name(const char *session);                 /* refs/vcr/<session>, what git forbids there as %XX */
int vcr_refs_write(struct vcr_store *s, const char *ref, const char *commit, struct vcr_error *e);
int vcr_refs_read(struct vcr_store *s, const char *ref, char commit[41]);   /* 0 or VCR_ENOTFOUND */
int64_t vcr_refs_last(struct vcr_store *s, const char *refs);               /* the highest number under it; -1 */
typedef int vcr_refs_fn(void *ctx, const char *ref, const char *commit);
int vcr_refs_each(struct vcr_store *s, vcr_refs_fn *fn, void *ctx);         /* every name once; stops on non-zero */
/* savepoint.c */
int vcr_store_reopen(struct vcr_store *s, struct vcr_error *e);
int vcr_store_remove_dir(const char *path);

/* savepoint-flush.c: an object that is read or written, if the store tracks them. */
void vcr_store_note(struct vcr_store *s, const unsigned char oid[VCR_OID]);
/* What the disk has may be gone: housekeeping was here. */
void vcr_store_unsettle(struct vcr_store *s);

/* savepoint-tree.c: one directory of a savepoint in memory, sorted by name (bytes). Names point into object or to the caller's strings. */
struct vcr_item { unsigned mode; unsigned char oid[VCR_OID], attrs[VCR_OID]; const char *name; size_t len; char *opened; /* name, if it was sealed; owned */ };
struct vcr_folder { struct vcr_item *item; size_t n, sorted, cap; git_odb_object *object; };
extern const unsigned char vcr_folder_empty[VCR_OID];
int vcr_folder_load(struct vcr_store *s, const unsigned char oid[VCR_OID], struct vcr_folder *t, struct vcr_error *e);
void vcr_folder_release(struct vcr_folder *t);
struct vcr_item *vcr_folder_find(const struct vcr_folder *t, const char *name, size_t len);
/* name is borrowed. Not found by vcr_folder_find until stored and loaded again. */
int vcr_folder_add(struct vcr_folder *t, unsigned mode, const unsigned char oid[VCR_OID], const char *name, size_t len, struct vcr_error *e);
int vcr_folder_store(struct vcr_store *s, struct vcr_folder *t, unsigned char oid[VCR_OID], struct vcr_error *e);
/* By components: "a/b" before "a.b". */
int vcr_path_compare(const char *a, const char *b);
int vcr_folder_patch(struct vcr_store *s, const unsigned char tree[VCR_OID], struct vcr_store_put *put, size_t n, unsigned char out[VCR_OID], struct vcr_error *e);

/* savepoint-walk.c: everything in the workspace. */
int vcr_store_scan(struct vcr_store *s, unsigned char tree[VCR_OID], struct vcr_error *e);
int vcr_store_apply_dirty(struct vcr_store *s, const unsigned char tree[VCR_OID], const struct vcr_store_dirty *dirty, size_t n, unsigned char out[VCR_OID],
	struct vcr_error *e);

/* savepoint-walk.c: content or a target, sealed if it holds secrets, as an object. path "": there is no file's name to judge by. */
int vcr_store_blob(struct vcr_store *s, const char *path, const char *p, size_t n, unsigned char oid[VCR_OID], struct vcr_error *e);

/* The same, sealed whatever it is. */
int vcr_store_sealed_blob(struct vcr_store *s, const char *p, size_t n, unsigned char oid[VCR_OID], struct vcr_error *e);

/* savepoint-attrs.c: those of dir/name, whose path is given, as an object; zero if it has none. */
int vcr_store_attrs(struct vcr_store *s, int dir, const char *name, const char *path, unsigned char oid[VCR_OID], struct vcr_error *e);

/* savepoint-seal.c */
int vcr_store_seal(struct vcr_store *s, const char *p, size_t n, struct vcr_buf *out, struct vcr_error *e);
/* It has to be. */
bool vcr_store_is_secret_name(const struct vcr_store *s, const char *name, size_t n);
/* The name of an entry as it is stored, appended; and back (0, 1: it is none that was sealed here). */
int vcr_store_seal_name(struct vcr_store *s, const char *name, size_t n, struct vcr_buf *out, struct vcr_error *e);
int vcr_store_unseal_name(struct vcr_store *s, const char *name, size_t n, char **out, struct vcr_error *e);
int vcr_store_unseal(struct vcr_store *s, const char *p, size_t n, struct vcr_buf *out, struct vcr_error *e);
bool vcr_store_is_sealed(const char *p, size_t n);
/* What stands for a path where nobody is to read it, in hex digits; make: a key, if there is none yet (else VCR_ENOTFOUND). */
enum { VCR_PATH_ID = 33 };
int vcr_store_path_id(struct vcr_store *s, const char *path, bool make, char id[VCR_PATH_ID], struct vcr_error *e);

/* savepoint-pack.c: objects that become one pack file, visible once finished. */
int vcr_pack_new(struct vcr_pack **p, const char *git_dir, struct vcr_error *e);
bool vcr_pack_has(const struct vcr_pack *p, const unsigned char oid[VCR_OID]);
int vcr_pack_add(struct vcr_pack *p, git_object_t type, const void *data, size_t n, const unsigned char oid[VCR_OID], struct vcr_error *e);
/* Frees it. */
int vcr_pack_finish(struct vcr_pack *p, struct vcr_error *e);
void vcr_pack_free(struct vcr_pack *p);

/* savepoint-ahead.c: what is in a directory, by name. seen[i] is what name[i] is, or seen is NULL: nobody looked. */
struct vcr_seen {
	struct stat st;
	const unsigned char *known; /* git's blob of the file, which has not changed since git looked at it; NULL: it may have */
	bool packed;                /* that blob is in a pack of the shadow repository */
	bool attrs;                 /* it may have extended attributes */
	bool gone;
};
struct vcr_listing { const char **name; size_t n; struct vcr_seen *seen; dev_t dev; ino_t ino; /* of the directory, where seen is set */ void *block; };
/* False: not all of it could be read. */
bool vcr_listing_read(struct vcr_listing *l, int fd);
void vcr_listing_release(struct vcr_listing *l);
bool vcr_listing_has(const struct vcr_listing *l, const char *name);
struct vcr_gitindex;
struct vcr_packindex;
struct vcr_ahead;
/* root, index and packs must stay until it is freed, and what it has given is only good until then. */
struct vcr_ahead *vcr_ahead_new(int root, const struct vcr_gitindex *index, const struct vcr_packindex *packs);
void vcr_ahead_free(struct vcr_ahead *a);
/* The directory at path (n bytes, "" the top), which was *st just now, with seen; once for each. False: the caller looks itself. */
bool vcr_ahead_take(struct vcr_ahead *a, const char *path, size_t n, const struct stat *st, struct vcr_listing *out);

/* savepoint-borrow.c: what the user's repository knows about the files of the workspace. NULL when it cannot be used; every call takes that. */
struct vcr_borrow *vcr_borrow_new(struct vcr_store *s);
void vcr_borrow_free(struct vcr_borrow *b);
/* As vcr_ahead_take. */
bool vcr_borrow_listing(struct vcr_borrow *b, const char *path, size_t n, const struct stat *st, struct vcr_listing *out);
/* The blob of a file that has not changed since git looked at it, safe in the shadow repository now; false: read the file. seen: as it was listed; may be NULL. */
bool vcr_borrow_blob(struct vcr_borrow *b, const char *path, const struct vcr_seen *seen, const struct stat *st, unsigned char oid[VCR_OID]);
/* The index has files in the directory. */
bool vcr_borrow_tracks(const struct vcr_borrow *b, const char *dir);
/* The object is in a pack. */
bool vcr_borrow_has(struct vcr_borrow *b, const unsigned char oid[VCR_OID]);

#endif
