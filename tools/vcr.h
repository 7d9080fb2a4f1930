/* vcr.h — telling the recorder what a program is about: named nodes with their state, and tags.
 *
 *   vcr_annotate("{\"begin\":\"plan\",\"input\":{\"goal\":\"tidy up\"}}");
 *   ...                       model calls, files and nodes in between are inside it
 *   vcr_annotate("{\"end\":\"plan\",\"output\":{\"steps\":3}}");
 *
 * Nothing is linked: the function is looked for once in what is loaded. Without libvcrshim.so (vcr-record, LD_PRELOAD) it does nothing. It never
 * waits, allocates or fails in a way that matters, and may be called from any thread. vcr_annotate(3) has the members of the object. Other languages
 * call the function of the same name through their FFI; shells write the object as a line to "${VCR_ANNOTATE:-/dev/null}". */
#ifndef VCR_H
#define VCR_H
#include <dlfcn.h>

typedef int vcr_annotate_fn(const char *json);

/* 0: recorded; -1: not, because nothing records this program. json: one object, 256 KiB at most. */
static inline int vcr_annotate(const char *json)
{
	static vcr_annotate_fn *found;
	static int looked;
	vcr_annotate_fn *fn = __atomic_load_n(&found, __ATOMIC_RELAXED);
	if (!fn && !__atomic_load_n(&looked, __ATOMIC_RELAXED)) {
		void *p = dlsym((void *)0 /* RTLD_DEFAULT */, "vcr_annotate");
		__builtin_memcpy(&fn, &p, sizeof fn);
		__atomic_store_n(&found, fn, __ATOMIC_RELAXED);
		__atomic_store_n(&looked, 1, __ATOMIC_RELAXED);
	}
	return fn ? fn(json) : -1;
}

#endif
