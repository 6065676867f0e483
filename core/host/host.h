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

/* Adds what the terminal is asked for to the table on the stack's top. (terminal.c) */
void host_terminal_open(lua_State *L);

#endif
