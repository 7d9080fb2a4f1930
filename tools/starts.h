/* starts.h — may that program start? Asked by the kernel (notify.h) of what a process starts by calls of its own, which the library does not see: static programs, those
 * of Go and of another libc, under vcr-replay --hermetic.
 *
 * What the library starts is the library's to decide. Else it may, if it is no tool: nobody has spoken to a model whose child this process is, or was before those between them ended; or if it is the
 * program that starts it, again, static or of Go, which is the agent's own and whose own children are asked about in turn (a dynamic one of another libc may be an interpreter); or if the library enters it, with what it needs to
 * find out that it is a tool: then it asks before its main (shim/stand.c). All others are tools that would run. Refused by EACCES: unlike ENOENT it does not say
 * that there is no such program, for which agents look elsewhere, and shells say it with the name.
 *
 * What is read is the memory of the process, which other threads of it may change before the kernel reads it again: this keeps a replay what it was, and is no wall. */
#ifndef VCR_STARTS_H
#define VCR_STARTS_H
#include <stdbool.h>
#include <sys/stat.h>
#include "buf.h"
#include "notify.h"
#include "spool-format.h"

struct vcr_starts {
	const struct vcr_spool_header *h;
	const char *spool;        /* its path */
	const char *library;      /* as LD_PRELOAD has it */
	struct stat standin;      /* the program that stands in for tools */
};
/* UNSEEN: it would be looked at, and cannot be: the process has made itself unreadable (PR_SET_DUMPABLE), and is not ours to read in spite of it. */
enum vcr_starts_verdict { VCR_STARTS_GOES_ON, VCR_STARTS_REFUSED, VCR_STARTS_UNSEEN };
/* A call of execve or execveat. REFUSED: words are program and arguments, not redacted, and *why it is not answered. UNSEEN: words are the process's name. */
enum vcr_starts_verdict vcr_starts_judge(const struct vcr_starts *s, const struct seccomp_notif *call, struct vcr_buf *words, const char **why);

#endif
