/* preimage.h — files as they were before somebody destroyed them, for what savepoints know and do not hold (savepoint.h: VCR_ENTRY_LARGE).
 *
 * Who sees that a file is about to go or to change keeps it first (the library in the program, ../shim/keep.c, and the supervisor, supervise.h): one that is
 * deleted or replaced by a second link to it, which costs nothing; one that is written into by a clone where the file system can, else by a copy. The store is a
 * directory 0700, STATE/preimages, or VCR_DIR/preimages where only that is on the workspace's file system; without such a place nothing is kept.
 *
 *   <40 hex digits>   a file: the id of a VCR_ENTRY_LARGE, which is made of its size, time of change and inode. Valid if and only if it still has that id
 *   <40 hex digits>   a symbolic link to the name of such a file: what had the first id was copied to it
 *   l.… c.…           kept by the library, which knows no ids: vcr_preimages_adopt makes the former of it
 *   new.…             a copy that is being made, or was when its maker died
 *   m.<pid>           a symbolic link to a directory in memory with more of c.…, which the collector of that number gave to the library: vcr_preimages_adopt takes them from there
 *
 * So a savepoint's entry leads to the content, and a file that is put back by a link has the id that its store has.
 *
 * Bounds: by the supervisor files below 1 MiB are not kept, nor below 16 MiB by a copy (savepoints hold those), but for such in directories of which they have names only; copies up to 128 MiB, once for each inode while the
 * store is open; 4 GiB in all, the oldest go first. By the library: spool-format.h. Not for two threads at once; several processes may. */
#ifndef VCR_PREIMAGE_H
#define VCR_PREIMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "error.h"

enum { VCR_LARGE_ID = 20 };
#define VCR_PREIMAGE_ROOM (2ll << 30) /* bytes that a session finds free at its beginning */
/* What stands for a file whose content is not kept: another when its size, time or inode is. */
void vcr_large_id(const struct stat *st, unsigned char id[VCR_LARGE_ID]);

struct vcr_preimages;
/* make: the directory is made if need be. VCR_ENOTFOUND: there is no place, or nothing has been kept. */
int vcr_preimages_open(struct vcr_preimages **p, const char *workspace, const char *state_dir, const char *vcr_dir, bool make, struct vcr_error *e);
void vcr_preimages_free(struct vcr_preimages *p);

enum vcr_preimage_why { VCR_PREIMAGE_GOES /* deleted, replaced */, VCR_PREIMAGE_CHANGES /* written into, cut */,
	VCR_PREIMAGE_UNDO /* as GOES, by a rollback: nothing else is dropped for it */,
	VCR_PREIMAGE_SMALL_GOES, VCR_PREIMAGE_SMALL_CHANGES /* as above, a file of any size: it is known that savepoints do not hold it */ };
/* Is it a file that could be kept, as lstat(2) says it? Of nearly every one this is false. */
bool vcr_preimages_takes(const struct vcr_preimages *p, const struct stat *st, enum vcr_preimage_why why);
/* Before it happens to the file at path, as openat(2) reads dir and path, the last component of which is not followed. 0: it is kept; 1: there is no need. */
int vcr_preimages_keep(struct vcr_preimages *p, int dir, const char *path, enum vcr_preimage_why why, struct vcr_error *e);
/* Would a link keep it, of whatever size? */
bool vcr_preimages_can(const struct vcr_preimages *p, int dir, const char *path);
/* Is the content of `id` there? as: the id of the file that holds it. */
bool vcr_preimages_find(struct vcr_preimages *p, const unsigned char id[VCR_LARGE_ID], unsigned char as[VCR_LARGE_ID]);
/* What the library has kept, under its ids from here on. Before anything is looked for. So many bytes came out of this process's memory. */
int64_t vcr_preimages_adopt(struct vcr_preimages *p);
/* A directory, which is made, for small copies of this process's session: in memory, where a new file costs less than on a disk. 1: they are to be made in the store, for its file
 * system can clone, or it cannot be made. At the end it goes, with what is in it to the store. */
int vcr_preimages_memory(struct vcr_preimages *p, const char *dir);
void vcr_preimages_memory_end(struct vcr_preimages *p);
/* Some of what is in it, a few MiB at most, to the store: so many bytes. left: those that are still there. */
int64_t vcr_preimages_lighten(struct vcr_preimages *p, int64_t *left);
/* Where it is. Valid until p is freed. */
const char *vcr_preimages_path(const struct vcr_preimages *p);
/* So many bytes may still be kept; the oldest go until there are `least`, if that many can be. */
int64_t vcr_preimages_room(struct vcr_preimages *p, int64_t least);
/* Housekeeping: what was kept before that real time, or is not any more what it was, goes, and then the oldest until there are `most` bytes at most (< 0: no limit). How many went; bytes: of what
 * stays. pretend: nothing goes. */
size_t vcr_preimages_prune(struct vcr_preimages *p, int64_t before_ns, int64_t most, bool pretend, int64_t *bytes);
/* A link to the file of that id, dir/name. errno. */
int vcr_preimages_link(struct vcr_preimages *p, const unsigned char as[VCR_LARGE_ID], int dir, const char *name);

#endif
