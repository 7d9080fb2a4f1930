#include "peek.h"
#include <string.h>
#include <sys/uio.h>

enum { PAGE = 4096, FIRST = 256 /* most texts are paths: no more is copied of those */ };

bool vcr_peek(int tid, uint64_t at, void *to, size_t n)
{
	struct iovec here = { to, n }, there = { (void *)(uintptr_t)at, n };
	return process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)n;
}

bool vcr_peek_text(int tid, uint64_t at, char *to, size_t room)
{
	for (size_t n = 0; n < room;) {
		size_t part = PAGE - (size_t)((at + n) % PAGE);
		part = part < room - n ? part : room - n;
		part = n || part < FIRST ? part : FIRST;
		struct iovec here = { to + n, part }, there = { (void *)(uintptr_t)(at + n), part };
		ssize_t got = at ? process_vm_readv(tid, &here, 1, &there, 1, 0) : -1;
		if (got <= 0)
			return false;
		if (memchr(to + n, 0, (size_t)got))
			return true;
		n += (size_t)got;
	}
	return false;
}
