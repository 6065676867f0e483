/* host.h - the program around the core: the Lua state, the modules inside it, signals.
 *
 * This folder is the only one that includes lua.h.
 */
#ifndef TAIN_HOST_H
#define TAIN_HOST_H

#include <lua.h>
#include <stddef.h>

#define TAIN_VERSION "0.1.0"

/* One module of lua/tain as bytecode; made by lua/gen/embed.lua, ended by a name of 0. */
struct host_module {
    const char *name; /* tain.command.help */
    const unsigned char *code;
    size_t size;
};

extern const struct host_module host_modules[];

/* Lets `require` find the modules inside the program, and makes `tain.host`. (modules.c) */
void host_modules_open(lua_State *L, const char *program);

/* The first SIGINT or SIGTERM asks everything to end at its next safe point, the second ends the
 * process at once. (signal.c) */
void host_signals_open(lua_State *L);
void host_signals_close(void);

/* From now on a signal is only noted, by a byte written to `fd`: nothing is said, and a second one
 * ends nothing. -1 ends this. */
void host_signals_quiet(int fd);
int host_signals_latest(void); /* which one came last; 0 for none */

/* A loop looks whether it shall leave: Lua is given twice as long as such a round took. */
void host_signals_looked(void);

/* Goes on after a signal as if none had come. From now on, Lua that reaches no safe point is stopped
 * after so many seconds. */
void host_signals_forget(double seconds);

/* Adds a line editor to the table on the stack's top. (edit.c) */
void host_edit_open(lua_State *L);

/* Adds what the terminal is asked for to the table on the stack's top. (terminal.c) */
void host_terminal_open(lua_State *L);

#endif
