/* sentinel-memory.h — memory for tree-sitter, which asks for a piece for every node of a text and gives each back on its own.
 *
 * Within an arena a thread's pieces are cut from blocks, those that are given back are used again by size, and when the arena is left all of them are gone:
 * no tree that was made within has to be deleted, and none may be used any more. What a thread allocates outside is malloc's, and may be given back
 * anywhere. An arena belongs to one thread at a time. In a build with AddressSanitizer there are none, so that it sees each piece.
 * Where memory is out the process ends (abort), as with tree-sitter's own allocation. */
#ifndef VCR_SENTINEL_MEMORY_H
#define VCR_SENTINEL_MEMORY_H
#include <stdbool.h>
#include <stddef.h>

enum { VCR_ARENA_SIZES = 80 };
struct vcr_arena {
	struct vcr_block *block, *now; /* all of them, and the one that pieces are cut from */
	struct vcr_large *large;
	char *at, *end;
	void *unused[VCR_ARENA_SIZES];
};
#define VCR_ARENA_INIT { .block = NULL }

/* tree-sitter's allocation is ours from now on; before it is used in any other way. May be called again, from any thread. */
void vcr_arena_install(void);
/* false: there are none, and what is made has to be deleted. Arenas do not nest. */
bool vcr_arena_enter(struct vcr_arena *a);
void vcr_arena_leave(struct vcr_arena *a);
/* The blocks that were kept for the next time. */
void vcr_arena_release(struct vcr_arena *a);

/* Free what tree-sitter gave out to be freed, outside of any arena. */
void vcr_arena_give_back(void *p);

/* As malloc and the like. (For the tests.) */
void *vcr_arena_malloc(size_t n);
void *vcr_arena_calloc(size_t n, size_t size);
void *vcr_arena_realloc(void *p, size_t n);
void vcr_arena_free(void *p);

#endif
