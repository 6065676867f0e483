--- tain report: one page about a run.

local files = require "tain.files"

return {
  usage = "RUN",
  about = "writes RUN/report.html: the pictures, the numbers and what they mean, in one file",
  run = function(arguments)
    local folder = arguments[1] and arguments[1]:gsub("(.)/+$", "%1")
    if #arguments ~= 1 then
      io.stderr:write("tain: report takes the folder of one run\n")
      return 2
    end
    if not files.exists(folder .. "/run.json") and not files.exists(folder .. "/events.jsonl") then
      io.stderr:write("tain: ", folder, " is not the folder of a run: it has no run.json\n")
      return 2
    end
    print(require("tain.report").write(folder))
  end,
}
