--- Pictures: red, green and blue, 8 bits each.
---
--- A drawn image is the few hundred codes that a model chose, until someone asks for pixels; so
--- keeping candidates costs nothing.

local ffi = require "ffi"
local check = require "tain.check"
local files = require "tain.files"
local own = require "tain.own"

local C = ffi.C
local image = {}

--- @class Image
local Image = {}
local drawn = setmetatable({}, { __mode = "k" })   -- image -> { codes, count, model, width, height }
Image.__index = function(_, name)
  local method = Image[name]
  if method == nil then
    check.raise("an image has no %s%s", tostring(name), check.suggest(name, Image))
  end
  return method
end
Image.__metatable = false
image.class = Image

local filters = check.names {
  { "bilinear", C.TAIN_BILINEAR }, { "bicubic", C.TAIN_BICUBIC }, { "lanczos", C.TAIN_LANCZOS },
}

--- Makes an image of a new reference from C; raises the core's sentence if there is none.
---
--- @return Image
function image.adopt(handle)
  check.made(handle)
  return own.adopt(setmetatable({}, Image), handle, C.tain_image_free, "image")
end

--- Makes an image of codes. For tain.model.
---
--- @return Image
function image.of_codes(parts)
  local self = setmetatable({}, Image)
  drawn[self] = parts
  return self
end

--- An image of codes that nobody chose, for what is measured: the same for the same number.
---
--- @param model Model
--- @param number integer
--- @return Image
function image.arbitrary(model, number)
  local handle = own.handle(model)
  local count, size = C.tain_model_image_codes(handle), C.tain_model_image_size(handle)
  local codes, codebook = ffi.new("int32_t[?]", count), C.tain_model_codebook(handle)
  for k = 0, count - 1 do codes[k] = (number * 7919 + k * 104729) % codebook end
  return image.of_codes { codes = codes, count = count, model = model, width = size, height = size }
end

--- The codes of an image, or nil. For tain.model.
function image.codes_of(self) return drawn[self] end

--- Whether a value is an image.
function image.is(value)
  return type(value) == "table" and (drawn[value] ~= nil or own.kind(value) == "image")
end

--- Reads a PNG, JPEG or binary PPM file: `tain.image(path)`. With two numbers it makes a black image,
--- and with bytes before them (height * width * 3, rows from the top) an image of these.
---
--- @param path string|integer|ffi.cdata* the file, the width, or bytes (uint8_t *) and then the width
--- @param height? integer
--- @return Image
function image.image(path, height, last)
  if last ~= nil then
    local made = image.image(height, last)
    ffi.copy(made:pixels(), path, height * last * 3)
    return made
  end
  if height ~= nil then
    return image.adopt(C.tain_image_create(check.int32("image", "width", path),
      check.int32("image", "height", height)))
  end
  return image.adopt(C.tain_image_read(check.string("image", "path", path)))
end

--- Reads the content of a PNG, JPEG or binary PPM file.
---
--- @param text string
--- @param name? string begins the message when it is refused
--- @return Image
function image.decode(text, name)
  return image.adopt(C.tain_image_decode(name or "image", text, #text))
end

-- Every use of pixels comes through here; a drawn image is decoded now.
local function handle(fn, self)
  local parts = drawn[self]
  if parts and own.handle(self) == nil then parts.model:decode({ self }) end
  return check.object(fn, "image", self, "image")
end

--- Gives a drawn image its pixels. For tain.model.
function image.set_pixels(self, rgb)
  local parts = drawn[self]
  local made = check.made(C.tain_image_create(parts.width, parts.height))
  ffi.copy(C.tain_image_pixels(made), rgb, parts.width * parts.height * 3)
  own.keep(own.adopt(self, made, C.tain_image_free, "image"))
end

--- Whether pixels are there already. For tain.model.
function image.has_pixels(self) return own.handle(self) ~= nil end

--- The codes it was drawn with.
---
--- @return integer[]? codes nil when it was not drawn
function Image:codes()
  local parts = drawn[self]
  if not parts then return nil end
  local list = {}
  for i = 1, parts.count do list[i] = parts.codes[i - 1] end
  return list
end

--- @return integer width
--- @return integer height
function Image:size()
  local parts = drawn[self]
  if parts then return parts.width, parts.height end
  local h = handle("size", self)
  return C.tain_image_width(h), C.tain_image_height(h)
end

--- The bytes [height, width, 3], to be read or written while the image lives. For tain's own modules.
---
--- @return ffi.cdata* uint8_t *
function Image:pixels()
  return C.tain_image_pixels(handle("pixels", self))
end

--- One pixel.
---
--- @param x integer from 0, to the right
--- @param y integer from 0, downwards
--- @return integer red
--- @return integer green
--- @return integer blue
function Image:pixel(x, y)
  local width, height = self:size()
  check.integer("pixel", "x", x, 0, width - 1)
  check.integer("pixel", "y", y, 0, height - 1)
  local p = self:pixels() + 3 * (y * width + x)
  return p[0], p[1], p[2]
end

--- Fills it from a tensor [height, width, 3].
---
--- @param x Tensor
--- @param low? number what becomes black, default -1
--- @param high? number what becomes white, default 1
--- @return Image self
function Image:fill(x, low, high)
  local h, t = handle("fill", self), check.tensor("fill", "x", x)
  local count = tonumber(C.tain_tensor_count(t))
  local values = ffi.new("float[?]", count + 1)
  check.status(C.tain_tensor_read(t, values, count))
  check.status(C.tain_image_fill(h, values, count, low or -1, high or 1))
  return self
end

--- Writes a file, atomically.
---
--- @param path string ends with .png or .ppm
function Image:save(path)
  check.status(C.tain_image_write(handle("save", self), check.string("save", "path", path)))
end

--- The content of a PNG file. Equal pixels give equal bytes.
---
--- @return string
function Image:png()
  return files.take(C.tain_image_png(handle("png", self)))
end

--- The same in another size, as Pillow does it.
---
--- @param width integer
--- @param height integer
--- @param filter? string "bicubic" (default), "bilinear" or "lanczos"
--- @return Image
function Image:resize(width, height, filter)
  return image.adopt(C.tain_image_resize(handle("resize", self),
    check.int32("resize", "width", width), check.int32("resize", "height", height),
    check.enum("resize", "filter", filter or "bicubic", filters)))
end

--- Shows it on the terminal.
function Image:show()
  require("tain.terminal").show(self)
end

--- Frees it now instead of when the collector gets to it.
function Image:free()
  own.free(self, C.tain_image_free, "free")
end

function Image:__tostring()
  if own.handle(self) == nil and not drawn[self] then return "image, freed" end
  return ("image of %d x %d"):format(self:size())
end

--- Puts images of one size side by side, row by row.
---
--- @param images Image[]
--- @param options? table columns (default all in one row), border (pixels, 2), colour (0xFFFFFF)
--- @return Image
function image.grid(images, options)
  check.table("grid", "images", images)
  options = check.options("grid", options, {
    columns = { "integer", min = 1, default = math.max(1, #images) },
    border = { "integer", min = 0, max = 1024, default = 2 },
    colour = { "integer", min = 0, max = 0xFFFFFF, default = 0xFFFFFF },
  })
  local list = ffi.new("tain_image *[?]", math.max(1, #images))
  for i, one in ipairs(images) do
    list[i - 1] = image.is(one) and handle("grid", one)
      or check.object("grid", ("images[%d]"):format(i), one, "image")
  end
  return image.adopt(C.tain_image_tile(ffi.cast("tain_image *const *", list), #images,
    options.columns, options.border, options.colour))
end

return image
