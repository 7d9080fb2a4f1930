/* recorder-notes.c — the file of $VCR_ANNOTATE: RUNTIME/<session>.notes, made by vcr-record (0600, in a directory of the user's own, on a tmpfs), one
 * annotation a line. A regular file and no pipe: whoever writes never waits for us, also when we are dead, and what was written then is read by who
 * takes our place. What has been read is punched out, so that it is neither kept nor read twice; the zeros that stand there are passed over. A writer
 * that empties the file (">" instead of ">>") is known by a first byte that is none of those zeros. */
#include "recorder-parts.h"
#include "paths.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STEP = 64 << 10, MOST_AT_ONCE = 4 << 20, MOST_AT_END = 256 << 20 };

void vcr_recorder_notes_open(struct vcr_recorder *r)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	char name[40];
	if (vcr_paths_runtime_dir(&path, NULL) || vcr_buf_printf(&path, "/%s.notes", r->session_id) || path.len >= sizeof r->notes_path)
		return;
	int fd = open(path.data, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1) {
		close(fd);
		return;
	}
	memcpy(r->notes_path, path.data, path.len + 1);
	r->notes_fd = fd;
	r->notes_watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	if (r->notes_watch >= 0)
		inotify_add_watch(r->notes_watch, name, IN_MODIFY);
}

int vcr_recorder_notes_fd(const struct vcr_recorder *r)
{
	return r->notes_watch;
}

/* When it was last written, by the clock of the records: not later than the last line. */
static uint64_t written_at(const struct vcr_recorder *r, const struct stat *st)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	int64_t at = (int64_t)r->mono_ns + (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec - (int64_t)r->real_ns;
	return vcr_recorder_as_read(r, at > (int64_t)r->mono_ns && (uint64_t)at < now ? (uint64_t)at : now);
}

static void take_line(struct vcr_recorder *r, const char *p, size_t n, uint64_t time_ns)
{
	while (n && !*p) {
		p++;
		n--;
	}
	if (n && p[n - 1] == '\r')
		n--;
	if (!r->notes_skip && n)
		vcr_recorder_note(r, p, n, 0, 0, time_ns, 0);
	r->notes_skip = false;
}

/* Whole lines of a piece; how many bytes they are. */
static size_t take_lines(struct vcr_recorder *r, const char *p, size_t n, bool last, uint64_t time_ns)
{
	size_t done = 0;
	for (const char *end; done < n && (end = memchr(p + done, '\n', n - done)); done = (size_t)(end - p) + 1)
		take_line(r, p + done, (size_t)(end - (p + done)), time_ns);
	if (done < n && last) {
		take_line(r, p + done, n - done, time_ns);
		return n;
	}
	if (!done && n > VCR_NOTE_MAX) {
		if (!r->notes_skip)
			vcr_recorder_note_refuse(r, "longer than 256 KiB");
		r->notes_skip = true;
		return n;
	}
	return done;
}

/* False: there is nothing more now. */
static bool step(struct vcr_recorder *r, bool last)
{
	static char piece[VCR_NOTE_MAX + STEP];
	struct stat st;
	char first = 0;
	if (fstat(r->notes_fd, &st) || !st.st_size)
		return r->notes_at = 0, false;
	if (st.st_size < r->notes_at || (pread(r->notes_fd, &first, 1, 0) == 1 && first))
		r->notes_at = 0;
	ssize_t n = pread(r->notes_fd, piece, sizeof piece, r->notes_at);
	if (n <= 0)
		return false;
	size_t done = take_lines(r, piece, (size_t)n, last && r->notes_at + n >= st.st_size, written_at(r, &st));
	if (!done)
		return false;
	fallocate(r->notes_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, r->notes_at, (off_t)done);
	r->notes_at += (off_t)done;
	return true;
}

void vcr_recorder_notes_read(struct vcr_recorder *r)
{
	char events[4096];
	int64_t from = r->notes_at;
	if (r->notes_fd < 0)
		return;
	while (r->notes_watch >= 0 && read(r->notes_watch, events, sizeof events) > 0)
		;
	while (r->notes_at - from < MOST_AT_ONCE && step(r, false))
		;
}

void vcr_recorder_notes_close(struct vcr_recorder *r, bool last)
{
	int64_t from = r->notes_at;
	if (r->notes_fd < 0)
		return;
	while (last && r->notes_at - from < MOST_AT_END && step(r, true))
		;
	if (last)
		unlink(r->notes_path);
	if (r->notes_watch >= 0)
		close(r->notes_watch);
	close(r->notes_fd);
	r->notes_fd = r->notes_watch = -1;
}
