--- The terminal, a line at a time: edited by libedit, read by the loop, so that everything else goes on meanwhile.

local keys = require "weir.text.keys"
local native = require "weir.native.scheduler"
local system = require "weir.port.system"
local uv = require "luv"

local M = {}

local PIECE_BYTES = 65536
local ESCAPE = 0.05 -- seconds that the rest of an escape sequence may take

---@class weir.LineTerminal
local Terminal = {}
Terminal.__index = Terminal

local function write(text)
  io.stdout:write(text)
  io.stdout:flush()
end

--- Opens the process's terminal. Does not wait.
---@return weir.LineTerminal|nil
---@return string|nil message
---@return string|nil code `unavailable`: standard input and output are no terminal
function M.open()
  local editor, message, code = require("weir.native.terminal").open()
  if not editor then return nil, message, code end
  local self = setmetatable({ editor = editor, poll = uv.new_poll(0), rest = "", pieces = {} }, Terminal)
  write(keys.paste_on)
  return self
end

-- Bytes from the keyboard; "" when none came in time, nil at the end. Waits.
local function read_bytes(self, timeout)
  local waiter = native.waiter()
  self.waiter = waiter
  self.poll:start("r", function()
    if not self.poll:is_closing() then self.poll:stop() end
    waiter:wake "keys"
  end)
  local why = waiter:wait("a key", timeout)
  self.waiter = nil
  if not self.poll:is_closing() then self.poll:stop() end
  if why == "interrupt" then return "\3" end
  if why ~= "keys" then return "" end
  local bytes, _, name = uv.fs_read(0, PIECE_BYTES, -1)
  if name == "EAGAIN" then return "" end
  if not bytes or bytes == "" then return nil end
  return bytes
end

local function next_piece(self)
  local is_paste = false
  while #self.pieces == 0 do
    local bytes = read_bytes(self, self.rest ~= "" and not is_paste and ESCAPE or nil)
    if not bytes then return nil end
    if bytes == "" then self.rest = "" end -- the key Escape alone means nothing
    self.pieces, self.rest, is_paste = keys.split(self.rest .. bytes)
  end
  return table.remove(self.pieces, 1)
end

local function common_prefix(words)
  local prefix = words[1]
  for index = 2, #words do
    while words[index]:sub(1, #prefix) ~= prefix do prefix = prefix:sub(1, -2) end
  end
  return prefix
end

local function show_words(self, words)
  local width, columns = 0, self:columns()
  for _, word in ipairs(words) do width = math.max(width, #word + 2) end
  local each, lines = math.max(1, columns // width), { "\n" }
  for index, word in ipairs(words) do
    lines[#lines + 1] = ("%-" .. width .. "s"):format(word) .. ((index % each == 0 or index == #words) and "\n" or "")
  end
  write(table.concat(lines))
  self.editor:refresh()
end

-- Text as if somebody typed it, before whatever was typed since.
local function type_in(self, text)
  table.insert(self.pieces, 1, { kind = "keys", text = text })
end

local function complete(self, completer)
  local text, cursor = self.editor:line()
  local from, words = completer(text, cursor)
  if not words or #words == 0 then return end
  local more = common_prefix(words):sub(cursor - from + 1)
  if more ~= "" then return type_in(self, more) end
  if #words > 1 then show_words(self, words) end
end

-- A pasted text of one line is typed; one of several ends the line, and is given as it is.
local function paste(self, text)
  if not text:find("\n", 1, true) then
    type_in(self, text)
    return nil
  end
  local line, cursor = self.editor:line()
  self.editor:finish()
  write((text:gsub("\n*$", "")) .. "\n")
  return line:sub(1, cursor) .. text
end

local function press(self, bytes, completer)
  local event, used = self.editor:feed(bytes)
  if used < #bytes then table.insert(self.pieces, 1, { kind = "keys", text = bytes:sub(used + 1) }) end
  if event == "line" then
    local text = self.editor:line():gsub("[\r\n]+$", "")
    self.editor:finish()
    return text, "line"
  elseif event == "end" then
    self.editor:finish()
    write "\n"
    return nil, "end"
  elseif event == "tab" and completer then
    complete(self, completer)
  end
end

--- Reads a line. Waits.
---@param prompt string
---@param completer (fun(text: string, cursor: integer): integer, string[])|nil may wait
---@return string|nil text
---@return "line"|"paste"|"end"|"interrupt" how paste: several lines, the last of which may not be all
function Terminal:read_line(prompt, completer)
  self.editor:begin(prompt)
  while true do
    local piece = next_piece(self)
    if not piece then
      self.editor:finish()
      return nil, "end"
    elseif piece.kind == "interrupt" then
      self.editor:finish()
      write "^C\n"
      return nil, "interrupt"
    elseif piece.kind == "paste" then
      local text = paste(self, piece.text)
      if text then return text, "paste" end
    else
      local text, how = press(self, piece.text, completer)
      if how then return text, how end
    end
  end
end

--- Has whoever reads a line be told of an interrupt, as if the key had been pressed. Does not wait.
function Terminal:interrupt()
  if self.waiter then self.waiter:wake "interrupt" end
end

--- Adds a line to what the arrow keys bring back. Does not wait.
---@param line string
function Terminal:remember(line)
  self.editor:remember(line)
end

--- Columns of the window. Does not wait.
---@return integer
function Terminal:columns()
  return (system.window_size(1)) or 80
end

--- To be called when the window has another size. Does not wait.
function Terminal:resize()
  self.editor:resize()
end

--- Gives the terminal back as it was. Safe twice. Does not wait.
function Terminal:close()
  if self.is_closed then return end
  self.is_closed = true
  self.poll:close()
  self.editor:close()
  write(keys.paste_off)
end

return M
