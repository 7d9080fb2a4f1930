/* peek.h — memory of another process, whose descendant it is or whose user is ours (process_vm_readv(2)). What is read is the process's own to change at any time. */
#ifndef VCR_PEEK_H
#define VCR_PEEK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All n bytes, or false. tid: any of its threads. */
bool vcr_peek(int tid, uint64_t at, void *to, size_t n);
/* A text up to its NUL, page by page: what is behind it may not be there. False: it cannot be read to its end, or does not fit; then `to` holds what was read of it, without a NUL. */
bool vcr_peek_text(int tid, uint64_t at, char *to, size_t room);

#endif
