--- Where a command writes: data to stdout, messages to stderr. Knows what each of them is: a terminal,
--- how wide, with colours or without. Colours only on a terminal, none with NO_COLOR.

local secret = require "weir.native.secret"
local system = require "weir.port.system"

local M = {}

local STYLES = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", blue = "34", magenta = "35", cyan = "36" }
local WIDTH, HEIGHT = 80, 24

---@class weir.cli.Stream
---@field is_terminal boolean
---@field has_colours boolean
---@field failed string|nil why the last write failed
local Stream = {}
Stream.__index = Stream

--- Writes text as it is, without the values of secrets.
---@param text string
function Stream:write(text)
  local ok, why = self.file:write(secret.redact(text))
  if not ok then self.failed = why end
end

--- Writes a line.
---@param text string|nil
function Stream:line(text)
  self:write((text or "") .. "\n")
end

--- Text in a style, where there are colours.
---@param style string such as "red", or several: "bold red"
---@param text string
---@return string
function Stream:paint(style, text)
  if not self.has_colours or text == "" then return text end
  local codes = style:gsub("%a+", STYLES):gsub(" ", ";")
  return ("\27[%sm%s\27[0m"):format(codes, text)
end

--- Columns and rows; 80 and 24 where there is no terminal that says.
---@return integer width
---@return integer height
function Stream:size()
  if self.terminal then return self.terminal.columns or WIDTH, self.terminal.rows or HEIGHT end
  local width, height
  if self.fd then width, height = system.window_size(self.fd) end
  width = width or math.tointeger(tonumber(self.env "COLUMNS")) or WIDTH
  return width, height or HEIGHT
end

--- Passes on what was written.
function Stream:flush()
  local ok, why = self.file:flush()
  if not ok then self.failed = self.failed or why end
end

local function is_set(value)
  return value ~= nil and value ~= ""
end

local function new_stream(file, fd, env, terminal)
  local is_terminal = terminal ~= nil or fd ~= nil and system.is_terminal(fd)
  local is_dumb = env "TERM" == "dumb"
  return setmetatable({ file = file, fd = fd, env = env, terminal = terminal, is_terminal = is_terminal,
    is_live = is_terminal and not is_dumb, has_colours = is_terminal and not is_dumb and not is_set(env "NO_COLOR") }, Stream)
end

local function knows_unicode(env)
  for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    local value = env(name)
    if is_set(value) then return value:lower():find "utf%-?8" ~= nil end
  end
  return true
end

---@class weir.cli.Console
---@field out weir.cli.Stream
---@field err weir.cli.Stream
---@field is_unicode boolean the locale is not known to be without it
---@field signs table<string, string> what stands for finished, failed, ...

local SIGNS = { finished = "✓", failed = "✗", cancelled = "◼", skipped = "–", running = "●", waiting = "◷",
  in_doubt = "?", quarantined = "!", begun = "○", full = "█",
  empty = "░", wait = "·", branch = "├─ ", last = "└─ ", down = "│  ", dot = "·", dots = "…" }
local PLAIN_SIGNS = { finished = "ok", failed = "FAILED", cancelled = "cancelled", skipped = "-", running = "*", waiting = "?",
  in_doubt = "?", quarantined = "!", begun = "o", full = "#", empty = "-", wait = ".", branch = "|- ", last = "`- ", down = "|  ",
  dot = "-", dots = "..." }

--- A console.
---@param options { stdout: table?, stderr: table?, env: (fun(name: string): string?)?, terminals: table? }|nil instead of the
---   process's own: objects with write and flush, as files have them; terminals: { out = {columns, rows}, err = ... }, of
---   those that are terminals elsewhere
---@return weir.cli.Console
function M.new(options)
  options = options or {}
  local env = options.env or os.getenv
  local is_unicode, terminals = knows_unicode(env), options.terminals or {}
  local out, err = options.stdout, options.stderr
  return { out = new_stream(out or io.stdout, not out and 1 or nil, env, terminals.out),
    err = new_stream(err or io.stderr, not err and 2 or nil, env, terminals.err),
    is_unicode = is_unicode, signs = is_unicode and SIGNS or PLAIN_SIGNS, env = env }
end

return M
