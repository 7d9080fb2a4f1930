/* files-watch.c — inotify: what anybody does to the workspace, hooked or not. It says where to look, never who it was.
 *
 * A directory that is made is watched from the next sweep on, which walks it first: nothing in it is known, so whatever is there by then is new. Until then a
 * build or an installation fills it without an event for each thing that happens to each file, which its programs would pay for, and we. */
#include "files-parts.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { EVENTS = IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK };

static void set_path(struct vcr_files *f, int wd, const char *path)
{
	if (wd >= (int)f->nwatched) {
		size_t n = (size_t)wd * 2 + 64;
		char **grown = realloc(f->watched, n * sizeof *grown);
		if (!grown)
			return;
		memset(grown + f->nwatched, 0, (n - f->nwatched) * sizeof *grown);
		f->watched = grown;
		f->nwatched = n;
	}
	f->stats.watches += !f->watched[wd];
	free(f->watched[wd]);
	f->watched[wd] = strdup(path);
	f->stats.watches -= !f->watched[wd];
}

void vcr_watch_directory(struct vcr_files *f, int dir, const char *path)
{
	char link[40];
	if (f->watch < 0)
		return;
	snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
	int wd = f->stats.watches < f->max_watches ? inotify_add_watch(f->watch, link, EVENTS) : -1;
	if (wd >= 0)
		set_path(f, wd, path);
	else
		f->stats.unwatched++;
}

void vcr_watch_moved(struct vcr_files *f, const char *from, const char *to)
{
	size_t n = strlen(from);
	for (size_t wd = 0; wd < f->nwatched; wd++) {
		char *old = f->watched[wd], *new;
		if (!old || (strcmp(old, from) && !vcr_path_below(old, from)) || asprintf(&new, "%s%s", to, old + n) < 0)
			continue;
		free(old);
		f->watched[wd] = new;
	}
}

void vcr_watch_release(struct vcr_files *f)
{
	for (size_t wd = 0; wd < f->nwatched; wd++)
		free(f->watched[wd]);
	free(f->watched);
	if (f->watch >= 0)
		close(f->watch);
}

static void on_event(struct vcr_files *f, const struct inotify_event *ev)
{
	char path[VCR_MAX_BENEATH];
	if (ev->mask & IN_Q_OVERFLOW) {
		f->stats.overflows++;
		f->must_scan = true;
		return;
	}
	if (ev->wd < 0 || (size_t)ev->wd >= f->nwatched || !f->watched[ev->wd])
		return;
	if (ev->mask & IN_IGNORED) {
		free(f->watched[ev->wd]);
		f->watched[ev->wd] = NULL;
		f->stats.watches--;
		return;
	}
	const char *parent = f->watched[ev->wd];
	bool directory = ev->mask & IN_ISDIR;
	if (!ev->len || snprintf(path, sizeof path, "%s%s%s", parent, *parent ? "/" : "", ev->name) >= (int)sizeof path || vcr_files_left_out(f, path, directory))
		return;
	struct vcr_file_mark *m = vcr_files_mark_path(f, path, vcr_files_now());
	if (!m)
		return;
	m->seen = true;
	m->seen_ns = m->last_ns;
	m->directory = m->directory || directory;
	m->left = directory && (ev->mask & IN_MOVED_FROM ? true : ev->mask & IN_MOVED_TO ? false : m->left);
	if (directory && ev->mask & IN_MOVED_TO)
		vcr_files_walk(f, path, VCR_WALK_SEEN, NULL); /* what is in it already, and watch it */
	if (directory && ev->mask & IN_CREATE) {
		f->nlate += !m->late;
		m->late = true;
	}
}

void vcr_watch_late(struct vcr_files *f)
{
	for (size_t i = 0, n = f->nmark; i < n && f->nlate; i++) { /* walking adds marks */
		if (!f->mark[i]->late)
			continue;
		f->mark[i]->late = false;
		f->nlate--;
		vcr_files_walk(f, f->mark[i]->path, VCR_WALK_LATE, NULL);
	}
	f->nlate = 0;
}

void vcr_files_read_watch(struct vcr_files *f)
{
	_Alignas(struct inotify_event) static char buf[64 << 10];
	ssize_t n;
	while (f->watch >= 0 && ((n = read(f->watch, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR)))
		for (ssize_t at = 0; at < n;) {
			struct inotify_event *ev = (struct inotify_event *)(buf + at);
			at += (ssize_t)(sizeof *ev + ev->len);
			on_event(f, ev);
		}
}
