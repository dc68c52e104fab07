//! libchdb's C interface, loaded at run time.
//!
//! The package ships no header; the signatures are those of the `chdb.h` of
//! chdb-io/chdb-core at v26.7.3 (Apache-2.0).

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

type Handle = *mut c_void;
type QueryFn = unsafe extern "C" fn(
    Handle,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> Handle;

/// The functions of libchdb that are used here.
pub(super) struct Library {
    connect: unsafe extern "C" fn(c_int, *const *const c_char) -> *mut Handle,
    close: unsafe extern "C" fn(*mut Handle),
    query: QueryFn,
    insert: QueryFn,
    append: unsafe extern "C" fn(Handle, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(Handle) -> Handle,
    cancel_insert: unsafe extern "C" fn(Handle),
    insert_error: unsafe extern "C" fn(Handle) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(Handle),
    result_buffer: unsafe extern "C" fn(Handle) -> *const u8,
    result_length: unsafe extern "C" fn(Handle) -> usize,
    result_error: unsafe extern "C" fn(Handle) -> *const c_char,
    rows_read: unsafe extern "C" fn(Handle) -> u64,
    bytes_read: unsafe extern "C" fn(Handle) -> u64,
    rows_written: unsafe extern "C" fn(Handle) -> u64,
    bytes_written: unsafe extern "C" fn(Handle) -> u64,
    destroy_result: unsafe extern "C" fn(Handle),
    shutdown: unsafe extern "C" fn() -> c_int,
}

/// What a finished statement printed and counted.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) body: Bytes,
    pub(super) read_rows: u64,
    pub(super) read_bytes: u64,
    pub(super) written_rows: u64,
    pub(super) written_bytes: u64,
}

/// An exception of the engine, in its own words (`Code: N. DB::Exception: …`).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct EngineError(pub(super) String);

impl Library {
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, libloading::Error> {
        // SAFETY: libchdb's initialisers are meant to be run by dlopen, and
        // each symbol is given the type that its header declares.
        unsafe {
            let file = libloading::Library::new(path)?;
            let set_signal_handlers: unsafe extern "C" fn(c_int) =
                *file.get(b"chdb_set_signal_handlers_enabled\0")?;
            // The host owns its signals: SIGTERM must stop the HTTP server first.
            set_signal_handlers(0);
            let library = Self {
                connect: *file.get(b"chdb_connect\0")?,
                close: *file.get(b"chdb_close_conn\0")?,
                query: *file.get(b"chdb_query_with_params_n\0")?,
                insert: *file.get(b"chdb_stream_insert_with_params_n\0")?,
                append: *file.get(b"chdb_stream_append\0")?,
                done: *file.get(b"chdb_stream_done\0")?,
                cancel_insert: *file.get(b"chdb_stream_cancel_insert\0")?,
                insert_error: *file.get(b"chdb_stream_insert_error\0")?,
                destroy_insert: *file.get(b"chdb_destroy_insert_stream\0")?,
                result_buffer: *file.get(b"chdb_result_buffer\0")?,
                result_length: *file.get(b"chdb_result_length\0")?,
                result_error: *file.get(b"chdb_result_error\0")?,
                rows_read: *file.get(b"chdb_result_rows_read\0")?,
                bytes_read: *file.get(b"chdb_result_bytes_read\0")?,
                rows_written: *file.get(b"chdb_result_rows_written\0")?,
                bytes_written: *file.get(b"chdb_result_bytes_written\0")?,
                destroy_result: *file.get(b"chdb_destroy_query_result\0")?,
                shutdown: *file.get(b"chdb_shutdown\0")?,
            };
            // Never unloaded: the engine's threads outlive any moment at which
            // that could be done.
            std::mem::forget(file);
            Ok(Arc::new(library))
        }
    }

    /// Ends the engine; every [`Connection`] must be gone by then.
    pub(super) fn shut_down(&self) {
        // SAFETY: no argument; the header allows it at any time.
        let left_open = unsafe { (self.shutdown)() };
        if left_open != 0 {
            // Some of its threads live until the process ends. Inserts are on
            // disk when they are answered, so nothing is lost by that.
            tracing::debug!(left_open, "libchdb leaves threads to the end of the process");
        }
    }

    unsafe fn take_result(self: &Arc<Self>, result: Handle) -> Result<Output, EngineError> {
        if result.is_null() {
            return Err(EngineError("Code: 1002. DB::Exception: no result".to_owned()));
        }
        let printed = Printed { library: Arc::clone(self), result };
        // SAFETY: `result` is a live result handle; it is destroyed once, with `printed`,
        // after the last use of its buffer and message.
        unsafe {
            let error = (self.result_error)(result);
            if !error.is_null() {
                return Err(EngineError(CStr::from_ptr(error).to_string_lossy().into_owned()));
            }
            Ok(Output {
                read_rows: (self.rows_read)(result),
                read_bytes: (self.bytes_read)(result),
                written_rows: (self.rows_written)(result),
                written_bytes: (self.bytes_written)(result),
                // What is small is copied, and the engine's memory free at once.
                body: if printed.as_ref().len() < LARGE_BYTES {
                    Bytes::copy_from_slice(printed.as_ref())
                } else {
                    Bytes::from_owner(printed)
                },
            })
        }
    }
}

/// Answers from here on are sent out of the engine's own memory.
const LARGE_BYTES: usize = 1 << 16;

/// What a statement printed, in the engine's memory until this is dropped.
struct Printed {
    library: Arc<Library>,
    result: Handle,
}

// SAFETY: a result is nobody else's, and nothing changes it; its connection may be gone.
unsafe impl Send for Printed {}

impl AsRef<[u8]> for Printed {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the handle is live until this is dropped, and so is its buffer.
        unsafe {
            let buffer = (self.library.result_buffer)(self.result);
            let length = (self.library.result_length)(self.result);
            if buffer.is_null() || length == 0 {
                return &[];
            }
            std::slice::from_raw_parts(buffer, length)
        }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        // SAFETY: destroyed once, after the last use of its buffer.
        unsafe { (self.library.destroy_result)(self.result) }
    }
}

/// One session: its own current database and settings, one statement at a
/// time.
pub(super) struct Connection {
    library: Arc<Library>,
    slot: *mut Handle,
}

// SAFETY: libchdb's connections may be used from any thread, one at a time,
// which `&mut self` ensures.
unsafe impl Send for Connection {}

/// Name and value of a query parameter (`{name:Type}`); the value is in
/// ClickHouse's escaped text form, as over HTTP.
pub(super) type Parameter = (String, String);

impl Connection {
    /// Only the first one's `config` counts: it boots the engine.
    pub(super) fn open(library: &Arc<Library>, data_dir: &str, config: &str) -> Result<Self, EngineError> {
        let arguments =
            ["clickhouse".to_owned(), format!("--path={data_dir}"), format!("--config-file={config}")];
        let arguments: Vec<CString> = arguments
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(|_nul| EngineError(format!("a NUL byte in the path {data_dir:?}")))?;
        let pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).expect("three arguments");
        // SAFETY: the argument strings outlive the call.
        let slot = unsafe { (library.connect)(count, pointers.as_ptr()) };
        if slot.is_null() {
            return Err(EngineError(format!(
                "Code: 1002. DB::Exception: libchdb cannot open {data_dir} \
                 (is another process using it?)"
            )));
        }
        Ok(Self { library: Arc::clone(library), slot })
    }

    fn handle(&self) -> Handle {
        // SAFETY: `slot` came from `chdb_connect` and is closed only on drop.
        unsafe { *self.slot }
    }

    fn call(&self, function: QueryFn, sql: &str, format: &str, parameters: &[Parameter]) -> Handle {
        let names: Vec<*const c_char> = parameters.iter().map(|(n, _)| n.as_ptr().cast()).collect();
        let name_lengths: Vec<usize> = parameters.iter().map(|(n, _)| n.len()).collect();
        let values: Vec<*const c_char> = parameters.iter().map(|(_, v)| v.as_ptr().cast()).collect();
        let value_lengths: Vec<usize> = parameters.iter().map(|(_, v)| v.len()).collect();
        // SAFETY: every pointer is paired with its length and outlives the call.
        unsafe {
            function(
                self.handle(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                parameters.len(),
            )
        }
    }

    /// Runs `sql` to its end; `format` applies where it has no FORMAT clause.
    pub(super) fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<Output, EngineError> {
        let result = self.call(self.library.query, sql, format, parameters);
        // SAFETY: a fresh result of this library.
        unsafe { self.library.take_result(result) }
    }

    /// Starts an insert whose rows follow in `format`; `sql` must have no
    /// FORMAT clause (libchdb appends its own).
    pub(super) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &[Parameter],
    ) -> Result<InsertStream<'_>, EngineError> {
        let stream = self.call(self.library.insert, sql, format, parameters);
        let stream = InsertStream { connection: self, stream, open: true };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: closed once; nothing borrowed from it can be alive.
        unsafe { (self.library.close)(self.slot) }
    }
}

/// An insert in progress. Dropped without [`InsertStream::finish`], it is
/// cancelled and inserts nothing.
pub(super) struct InsertStream<'c> {
    connection: &'c mut Connection,
    stream: Handle,
    open: bool,
}

impl InsertStream<'_> {
    fn error(&self) -> Option<EngineError> {
        if self.stream.is_null() {
            return Some(EngineError("Code: 1002. DB::Exception: no insert stream".to_owned()));
        }
        // SAFETY: the stream is live; its message lives as long as it does.
        unsafe {
            let error = (self.connection.library.insert_error)(self.stream);
            (!error.is_null()).then(|| EngineError(CStr::from_ptr(error).to_string_lossy().into_owned()))
        }
    }

    /// Hands over a piece of the rows; blocks while the engine is behind.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), EngineError> {
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: libchdb copies `data` before it returns.
        let state =
            unsafe { (self.connection.library.append)(self.stream, data.as_ptr().cast(), data.len()) };
        if state == 0 {
            return Ok(());
        }
        // The append only learns that the parser has stopped; the reason comes
        // with the stream's end.
        match self.finish_inner() {
            Err(error) => Err(error),
            Ok(_) => Err(EngineError("Code: 1002. DB::Exception: the insert stream ended early".to_owned())),
        }
    }

    /// Commits the insert.
    pub(super) fn finish(mut self) -> Result<Output, EngineError> {
        self.finish_inner()
    }

    fn finish_inner(&mut self) -> Result<Output, EngineError> {
        self.open = false;
        // SAFETY: ended once; the result is taken and destroyed at once.
        unsafe {
            let result = (self.connection.library.done)(self.stream);
            self.connection.library.take_result(result)
        }
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        if self.stream.is_null() {
            return;
        }
        // SAFETY: cancelled only while open, destroyed once.
        unsafe {
            if self.open {
                (self.connection.library.cancel_insert)(self.stream);
            }
            (self.connection.library.destroy_insert)(self.stream);
        }
    }
}
