---@meta weir.native.terminal
-- luacheck: ignore 212 241

--- Line editing on the process's terminal, fed with bytes that somebody else has read. Nothing here reads or waits.
local M = {}

---@class weir.Terminal
local Terminal = {}

--- Takes the process's terminal. Does not wait.
---@return weir.Terminal|nil
---@return string|nil message
---@return string|nil code `unavailable`: standard input and output are no terminal
function M.open() end

--- Begins a line: raw mode, and the prompt is shown. Does not wait.
---@param prompt string
function Terminal:begin(prompt) end

--- Leaves raw mode. Safe twice. Does not wait.
function Terminal:finish() end

--- Takes bytes up to the first event. Does not wait.
---@param bytes string whole characters and escape sequences
---@return "more"|"line"|"end"|"tab" event
---@return integer used bytes
function Terminal:feed(bytes) end

--- The text of the line, and the cursor in bytes. Does not wait.
---@return string text
---@return integer cursor
function Terminal:line() end

--- Draws the line anew. Does not wait.
function Terminal:refresh() end

--- To be called when the window has another size. Does not wait.
function Terminal:resize() end

--- Adds a line to what the arrow keys bring back. Does not wait.
---@param line string
function Terminal:remember(line) end

--- Gives the terminal back as it was. Safe twice. Does not wait.
function Terminal:close() end

return M
