#include "config.h"
#include "control.h"
#include "doctor.h"
#include "notify.h"
#include "paths.h"
#include "preload.h"
#include "sealed.h"
#include "spool-format.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <linux/limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { MB = 1 << 20, LEAST_SHM_MB = 48, LEAST_DISK_MB = 100, LEAST_WATCHES = 65536, LEAST_FILES = 256 };

/* ---- What vcr is made of ---- */

static bool not_there(const struct vcr_buf *path, struct vcr_error *e)
{
	return access(path->data, X_OK) && vcr_error_sys(e, errno, "%s", path->data);
}

static void parts(struct vcr_doctor *d)
{
	VCR_AUTO_BUF preload = VCR_BUF_INIT, collector = VCR_BUF_INIT, gate = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	const char *why = vcr_preload_list(&preload, false);
	size_t n = strcspn(preload.data, ":");
	if (why)
		vcr_finding(d, VCR_FINDING_BAD, "library", NULL, "%s", why);
	else
		vcr_finding(d, VCR_FINDING_FINE, "library", NULL, "%.*s", (int)n, preload.data);
	if (!why && preload.data[n])
		vcr_finding(d, VCR_FINDING_LESS, "preload", "if a program behaves oddly, try it without that one", "LD_PRELOAD is set already: %s", preload.data + n + 1);
	if (vcr_control_collector_path(&collector, &e) || not_there(&collector, &e))
		vcr_finding(d, VCR_FINDING_BAD, "collector", "install vcr whole, or set VCR_COLLECTOR", "%s", e.what);
	else
		vcr_finding(d, VCR_FINDING_FINE, "collector", NULL, "%s", collector.data);
	if (vcr_control_program_path("vcr-gate", &gate, &e) || not_there(&gate, &e))
		vcr_finding(d, VCR_FINDING_LESS, "gate", "install vcr whole; without it --lane=gate, --lane=auto and vcr-replay do not work", "%s", e.what);
	else
		vcr_finding(d, VCR_FINDING_FINE, "gate", NULL, "%s", gate.data);
}

static void versions(struct vcr_doctor *d)
{
	struct utsname u = { 0 };
	uname(&u);
	void *ssl = dlopen("libssl.so.3", RTLD_LAZY | RTLD_LOCAL), *crypto = ssl ? dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL) : NULL;
	const char *(*version)(int) = NULL;
	void *p = crypto ? dlsym(crypto, "OpenSSL_version") : NULL;
	memcpy(&version, &p, sizeof version);
	vcr_finding(d, VCR_FINDING_FINE, "versions", NULL, "vcr %s, glibc %s, %s, kernel %s", PACKAGE_VERSION, gnu_get_libc_version(), version ? version(0) : "no OpenSSL 3", u.release);
}

/* ---- Memory ---- */

static void spool_room(struct vcr_doctor *d)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct statvfs fs;
	if (vcr_paths_runtime_dir(&dir, &e) || statvfs(dir.data, &fs)) {
		vcr_finding(d, VCR_FINDING_BAD, "tmpfs", "mount a tmpfs at /dev/shm, or set XDG_RUNTIME_DIR to a directory of yours on one", "%s", *e.what ? e.what : strerror(errno));
		return;
	}
	unsigned long long free_mb = (unsigned long long)fs.f_bavail * fs.f_frsize / MB;
	if (free_mb < LEAST_SHM_MB)
		vcr_finding(d, VCR_FINDING_LESS, "tmpfs", "give it more (docker: --shm-size=256m), or what is recorded in a burst is lost", "%s has %llu MB left", dir.data, free_mb);
	else
		vcr_finding(d, VCR_FINDING_FINE, "tmpfs", NULL, "%s, %llu MB left", dir.data, free_mb);
}

static void limits(struct vcr_doctor *d)
{
	struct rlimit space = { RLIM_INFINITY, RLIM_INFINITY }, size = space, files = space;
	getrlimit(RLIMIT_AS, &space);
	getrlimit(RLIMIT_FSIZE, &size);
	getrlimit(RLIMIT_NOFILE, &files);
	void *p = mmap(NULL, VCR_SPOOL_VIRTUAL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		vcr_finding(d, VCR_FINDING_LESS, "addresses", space.rlim_cur != RLIM_INFINITY ? "ulimit -v unlimited" : "a container's limit, or vm.overcommit_memory=2",
			"64 GB of address space (not of memory) cannot be had: a process records up to an eighth of what it may have, then its losses are counted");
	else
		vcr_finding(d, VCR_FINDING_FINE, "addresses", NULL, "64 GB of address space can be had");
	if (p != MAP_FAILED)
		munmap(p, VCR_SPOOL_VIRTUAL);
	if (size.rlim_cur < 64 * MB)
		vcr_finding(d, VCR_FINDING_LESS, "file size", "ulimit -f unlimited", "processes may write files of %llu KB only, the spool among them", (unsigned long long)size.rlim_cur >> 10);
	if (files.rlim_max < LEAST_FILES)
		vcr_finding(d, VCR_FINDING_LESS, "descriptors", "ulimit -n 1024", "%llu descriptors are few for a collector", (unsigned long long)files.rlim_max);
}

/* ---- The kernel ---- */

static long long number_in(const char *path)
{
	char text[40] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	return n > 0 ? atoll(text) : -1;
}

static void watches(struct vcr_doctor *d)
{
	long long most = number_in("/proc/sys/fs/inotify/max_user_watches");
	int fd = inotify_init1(IN_CLOEXEC);
	if (fd < 0)
		vcr_finding(d, VCR_FINDING_LESS, "inotify", "sysctl fs.inotify.max_user_instances=1024", "no inotify: %s; changes of programs that are not hooked are found by scans only", strerror(errno));
	else if (most >= 0 && most < LEAST_WATCHES)
		vcr_finding(d, VCR_FINDING_LESS, "inotify", "sysctl fs.inotify.max_user_watches=524288", "%lld directories can be watched; in a larger workspace scans have to do", most);
	else
		vcr_finding(d, VCR_FINDING_FINE, "inotify", NULL, "%lld directories can be watched", most);
	if (fd >= 0)
		close(fd);
}

static void kernel(struct vcr_doctor *d)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0)
		vcr_finding(d, VCR_FINDING_BAD, "processes", "Linux 5.3 or later, and a container whose seccomp profile knows pidfd_open", "pidfd_open: %s", strerror(errno));
	else
		vcr_finding(d, VCR_FINDING_FINE, "processes", NULL, "their ends can be seen (pidfd)");
	if (fd >= 0)
		close(fd);
}

static void isolation(struct vcr_doctor *d)
{
	struct vcr_error e = { 0 };
	struct vcr_sealed s = VCR_SEALED_INIT;
	if (vcr_sealed_make(&s, &e))
		vcr_finding(d, VCR_FINDING_LESS, "namespaces", "only --sealed needs them", "no namespaces: %s", e.what);
	else
		vcr_finding(d, VCR_FINDING_FINE, "namespaces", NULL, "user, network and mount namespaces can be made");
	vcr_sealed_release(&s);
	if (vcr_notify_possible(&e))
		vcr_finding(d, VCR_FINDING_LESS, "seccomp", "only --supervise needs it", "no supervisor: %s", e.what);
	else
		vcr_finding(d, VCR_FINDING_FINE, "seccomp", NULL, "calls can be supervised");
}

/* ---- Disk and trust ---- */

/* The nearest directory upward that is there. */
static void existing(char path[PATH_MAX])
{
	struct stat st;
	while (stat(path, &st) && strlen(path) > 1) {
		char *slash = strrchr(path, '/');
		slash[slash == path] = 0;
	}
}

/* A file without a name; where the file system has none, a directory for a moment. */
static bool can_write(const char *dir)
{
	char name[PATH_MAX + 40];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return close(fd) == 0;
	snprintf(name, sizeof name, "%s/.vcr-doctor.XXXXXX", dir);
	return (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) && mkdtemp(name) && !rmdir(name);
}

static void place(struct vcr_doctor *d, const char *what, const char *dir, const char *todo)
{
	char path[PATH_MAX];
	struct statvfs fs;
	snprintf(path, sizeof path, "%s", dir);
	existing(path);
	if (!can_write(path)) {
		vcr_finding(d, VCR_FINDING_BAD, what, todo, "%s cannot be written: %s", dir, strerror(errno));
		return;
	}
	unsigned long long mb = statvfs(path, &fs) ? 0 : (unsigned long long)fs.f_bavail * fs.f_frsize / MB;
	vcr_finding(d, mb < LEAST_DISK_MB ? VCR_FINDING_LESS : VCR_FINDING_FINE, what, mb < LEAST_DISK_MB ? "make room" : NULL, "%s, %llu MB left", dir, mb);
}

static void disk(struct vcr_doctor *d)
{
	VCR_AUTO_BUF sessions = VCR_BUF_INIT, workspace = VCR_BUF_INIT, state = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (vcr_tool_dir(d->t, &sessions, &e))
		vcr_finding(d, VCR_FINDING_BAD, "sessions", "set VCR_DIR", "%s", e.what);
	else
		place(d, "sessions", sessions.data, "set VCR_DIR to a directory of yours");
	if (vcr_paths_workspace(".", &workspace, &e) || vcr_paths_state_dir(workspace.data, &state, &e))
		vcr_finding(d, VCR_FINDING_LESS, "savepoints", "set XDG_STATE_HOME to a directory of yours; without it vcr-rollback has nothing to go back to", "%s", e.what);
	else
		place(d, "savepoints", state.data, "set XDG_STATE_HOME to a directory of yours");
}

static void trust(struct vcr_doctor *d)
{
	static const char *const places[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem", "/etc/ssl/cert.pem" };
	const char *set = getenv("SSL_CERT_FILE"), *found = set && *set && !access(set, R_OK) ? set : NULL;
	for (size_t i = 0; !found && i < sizeof places / sizeof *places; i++)
		found = access(places[i], R_OK) ? NULL : places[i];
	if (found)
		vcr_finding(d, VCR_FINDING_FINE, "roots", NULL, "%s", found);
	else
		vcr_finding(d, VCR_FINDING_LESS, "roots", "apt install ca-certificates, or set SSL_CERT_FILE; the gate has nobody to trust", "no system certificates were found");
}

void vcr_doctor_machine(struct vcr_doctor *d)
{
	parts(d);
	versions(d);
	spool_room(d);
	limits(d);
	watches(d);
	kernel(d);
	isolation(d);
	disk(d);
	trust(d);
}
