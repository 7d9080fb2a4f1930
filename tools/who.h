/* who.h — which session's program changed a path last, as recordings tell it. Only what hooks have seen counts: a change that a session merely noticed
 * (by inotify or a scan) is somebody else's. Bounded: 64 sessions, 100,000 paths. */
#ifndef VCR_TOOL_WHO_H
#define VCR_TOOL_WHO_H
#include "reader.h"

struct vcr_who {
	char *path;
	char session[104], program[64];
	int64_t frame, time_ns, pid; /* pid 0: not known */
};
struct vcr_who_index { struct vcr_who *v; size_t n, cap; bool sorted; };
/* What a session's frames from since_ns on say. session: its id. */
void vcr_who_add(struct vcr_who_index *x, struct vcr_reader *r, const char *session, int64_t since_ns);
/* The same of every session in vcr_dir but one, as far as their files were written since then. */
void vcr_who_add_others(struct vcr_who_index *x, const char *vcr_dir, const char *but, int64_t since_ns);
/* The last one who changed it, or NULL. */
const struct vcr_who *vcr_who_find(struct vcr_who_index *x, const char *path);
void vcr_who_release(struct vcr_who_index *x);

#endif
