/* sealed.h — namespaces of a command's own: a network in which there is nobody but it and the gate, and a few files that say so.
 *
 * vcr_sealed_make makes a network namespace (only loopback, up), a mount namespace and, unless we may make those two without, a user namespace in which
 * our user id is what it is here. The gate's listeners are made inside: one on any port, and those of HTTPS and HTTP (443, 80), to which names of
 * model hosts lead there. The gate itself stays outside: a listener belongs to the namespace that it was made in, whoever accepts from it.
 *
 * vcr_sealed_enter, in the command's process before its exec, goes in, and vcr_sealed_cover puts files over files: /etc/hosts with the model hosts on 127.0.0.1, and the
 * certificates of the run over the system's bundle. Nothing outside changes.
 *
 * What it does not do: Unix-domain sockets in the file system lead out as before, abstract ones do not; directories of single certificates stay. What a
 * kernel refuses is told with the reason: a setting, AppArmor, or the container's profile. See user_namespaces(7), network_namespaces(7). */
#ifndef VCR_SEALED_H
#define VCR_SEALED_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "error.h"

enum { VCR_SEALED_LISTENERS = 6 };
struct vcr_sealed {
	int user, mount, net;              /* namespaces; user -1: our own */
	int listener[VCR_SEALED_LISTENERS]; /* any port of 127.0.0.1, the same of ::1; then 443 and 80 of both; -1: could not be had */
};
#define VCR_SEALED_INIT { -1, -1, -1, { -1, -1, -1, -1, -1, -1 } }
/* VCR_ENOSYS: refused, e says by whom and what helps. */
int vcr_sealed_make(struct vcr_sealed *s, struct vcr_error *e);
void vcr_sealed_release(struct vcr_sealed *s);
/* The listeners are others' now: who would connect when these are gone is refused. */
void vcr_sealed_give_away(struct vcr_sealed *s);
/* In a single-threaded process. */
int vcr_sealed_enter(const struct vcr_sealed *s, struct vcr_error *e);
/* Inside: hosts and bundle are files that take the places of the system's, NULL: stays. */
int vcr_sealed_cover(const char *hosts, const char *bundle, struct vcr_error *e);
/* Write the file for /etc/hosts: what stands there now, and each of the NULL-terminated hosts that is a whole name, without its port. */
int vcr_sealed_write_hosts(const char *path, const char *const *hosts, struct vcr_error *e);
/* Who we are in a new user namespace: who we are here, (uid, gid) being ours from before it. */
bool vcr_sealed_map_ids(uid_t uid, gid_t gid);
/* VCR_ENOSYS: a namespace was refused with that errno, at that step; e says by whom and what helps. */
int vcr_sealed_refused(int error, const char *step, struct vcr_error *e);
/* Where systems keep their bundle of certificates, NULL-terminated. */
extern const char *const vcr_sealed_bundles[];

#endif
