--- weir serve: a host that goes on with runs and serves those who talk to it, until it is stopped.

local failure = require "weir.failure"
local log = require "weir.log"
local native = require "weir.native.scheduler"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local signals = require "weir.port.signals"
local status = require "weir.cli.status"
local system = require "weir.port.system"
local text = require "weir.cli.text"

local M = {
  name = "serve",
  summary = "Serves a project: goes on with every unfinished run, wakes those whose time has come, takes new ones.",
  examples = { "serve", "serve shop --listen 127.0.0.1:8080", "serve --watch" },
  notes = "Other commands of the same project talk to it by themselves, and `weir repl` attaches to it, to look; with --write\n"
    .. "also to change things. SIGTERM and Ctrl-C stop it: runs are brought to a checkpoint and go on with the next host; a\n"
    .. "second signal ends the process at once. SIGHUP loads changed modules. Logs go to stderr, as JSON where that is no\n"
    .. "terminal. Exit status: 0 stopped, 2 a setting does not fit, 8 another process has the store, 75 the store failed.",
}

--- Adds what `serve` and `dev` both take.
function M.declare_common(parser)
  parser:argument("dir", "the project's folder; the current one"):argname("DIR"):args "?"
  parser:option("--listen", "where the HTTP door listens; off: nowhere"):argname "ADDR:PORT"
  parser:option("--log", "the least level that is logged: debug, info, warn or error"):argname "LEVEL"
  session.declare_store(parser)
end

function M.declare(parser)
  M.declare_common(parser)
  parser:flag("--watch", "load modules and pipelines again as their files change")
  parser:flag("--write", "let those who attach change things")
end

local function enter(dir)
  if not dir then return system.working_folder() end
  local folder = system.real_path(dir)
  if not folder then failure.raise("not_found", "there is no folder '%s'; `weir new %s` makes a project", dir, dir) end
  return folder
end

-- A token that lives as long as the host is handed over in the fragment, which no browser sends anywhere.
local function console_url(context, host, shows_token)
  if not host.url then return host.settings.listen == false and "none (listen is false)" or "none" end
  local token = host.http.token
  if not token or not (shows_token or context.out.is_terminal) then return host.url end
  return ("%s/#token=%s"):format((host.url:gsub("/$", "")), token)
end

local function announce(context, host, arguments, shows_token)
  local socket = host.line and host.line.path
  if arguments.json then
    local null = require("weir.native.json").null
    context.out:line(shape.line { project = host.project.root, store = host.settings.store, process = system.process_id(),
      url = host.url or null, console = host.url and console_url(context, host, shows_token) or null, socket = socket or null })
  else
    local out = context.out
    out:line(("%s  %s, store %s, process %d"):format(out:paint("bold", "host"), text.safe(host.project.root),
      text.safe(host.settings.store), system.process_id()))
    out:line(("%s  %s"):format(out:paint("bold", "http"), console_url(context, host, shows_token)))
    out:line(("%s  weir attach %s"):format(out:paint("bold", "repl"), text.safe(host.settings.store)))
  end
  context.out:flush()
end

-- The first signal stops the host, the second one the process. Watched before the host is there, so that none is lost.
local function watch_signals(context)
  local self = { asked = native.waiter() }
  self.ends = signals.watch({ "sigterm", "sigint" }, function(name)
    if self.came then
      context.err:line "weir: stopped at once; what was finished is kept, the next host goes on"
      os.exit(status.interrupted)
    end
    self.came = name
    self.asked:wake()
  end)
  self.reloads = signals.watch({ "sighup" }, function()
    if self.host then self.host:reload "signal" end
  end)
  return self
end

local function await_end(self)
  self.asked:wait "a signal to stop"
  self.host:stop("stopped by " .. self.came:upper())
end

-- A store that cannot be opened is the store's failure, whatever it is; one that another process has is not.
local function start(options)
  local ok, host = pcall(require("weir.serve").start, options)
  if ok then return host end
  local err = failure.of(host)
  if type(host) == "table" and rawget(host, "is_of_store") and err.code ~= "conflict" then err.status = status.store end
  error(err, 0)
end

--- Serves until a signal comes. Waits.
---@param context weir.cli.Context
---@param arguments table
---@param options { watch: boolean, write: boolean, shows_token: boolean|nil } shows_token: also where stdout is no terminal
---@return integer status
function M.serve(context, arguments, options)
  local folder = enter(arguments.dir)
  local err = context.err
  local watching = watch_signals(context)
  local host = start { folder = folder, store = arguments.store, listen = arguments.listen, log = arguments.log,
    watch = options.watch, write = options.write, env = context.console.env,
    logger = log.new { human = err.is_terminal, colours = err.has_colours, write = function(line)
      err:write(line)
      err:flush()
    end } }
  watching.host = host
  system.enter(host.project.root)
  announce(context, host, arguments, options.shows_token)
  await_end(watching)
  return status.finished
end

function M.run(arguments, context)
  return M.serve(context, arguments, { watch = arguments.watch, write = arguments.write })
end

return M
