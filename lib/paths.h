/* paths.h — where things are: workspace, .vcr, state and runtime directories, session names. */
#ifndef VCR_PATHS_H
#define VCR_PATHS_H
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"

/* The git top level of dir (nearest parent with a .git directory or file), else dir itself; resolved, no trailing slash. */
int vcr_paths_workspace(const char *dir, struct vcr_buf *out, struct vcr_error *e);
/* $VCR_DIR, else the nearest .vcr upward from dir inside the workspace, else WORKSPACE/.vcr. Need not exist. */
int vcr_paths_vcr_dir(const char *dir, struct vcr_buf *out, struct vcr_error *e);
/* Make it: 0700, with a .gitignore of "*" when it is new. */
int vcr_paths_make_vcr_dir(const char *vcr_dir, struct vcr_error *e);
/* $XDG_STATE_HOME/vcr, where the state directories are; need not exist. */
int vcr_paths_state_root(struct vcr_buf *out, struct vcr_error *e);
/* $XDG_STATE_HOME/vcr/<workspace-id> ($HOME/.local/state); made 0700. workspace-id: first 16 hex digits of SHA-256 of the path. */
int vcr_paths_state_dir(const char *workspace, struct vcr_buf *out, struct vcr_error *e);
/* $XDG_CACHE_HOME/vcr/NAME ($HOME/.cache); made 0700 when `make` is set. VCR_ENOTFOUND: nothing says where. */
int vcr_paths_cache_dir(const char *name, bool make, struct vcr_buf *out, struct vcr_error *e);
/* The runtime directory of spools and sockets (spool-format.h); made 0700 and checked to be ours and on a tmpfs. */
int vcr_paths_runtime_dir(struct vcr_buf *out, struct vcr_error *e);
/* 0 if id may name a session: 1..VCR_MAX_SESSION_ID of [A-Za-z0-9._-] and space, not starting with '-' or '.', not ending in .lock,
 * .vcr or '.'; else VCR_EINVAL and one line that says what is wrong. */
int vcr_paths_check_session_id(const char *id, struct vcr_error *e);
/* A new id: YYYYMMDD-HHMMSS-xxxx (local time, 4 random hex digits). */
int vcr_paths_new_session_id(char out[32]);
/* SESSION as a person gives it: an id, a unique prefix, a path to a .vcr file, "last" or NULL (the newest). Appends the path of the file. */
int vcr_paths_find_session(const char *vcr_dir, const char *name, struct vcr_buf *path, struct vcr_error *e);

#endif
