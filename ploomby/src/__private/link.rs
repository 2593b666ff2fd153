/// What `#[handler]` writes for each function.
///
/// It is here, and not in the attribute, for what is copied by a `macro_rules` is not the user's: no lint and no
/// line of coverage is about it, and it knows its own crate by any name. The attribute gives what differs:
/// attributes, the function, its name, its keys, its doc comment, the type that it returns, three variables, and statements with the places in
/// the user's code.
#[doc(hidden)]
#[macro_export]
macro_rules! __ploomby_link {
    (
        [$($passed_on:tt)*] $function:ident $name:literal [$($key:tt)*] [$($doc:tt)*] { $($return_type:tt)* }
        $about:ident $room:ident $delivery:ident
        { $($require:tt)* }
        { $($make:tt)* }
        { $($call:tt)* }
        { $($into_answer:tt)* }
    ) => {
        $($passed_on)*
        // that the function or one of its types is deprecated, or large, is said where it is written
        #[allow(deprecated, clippy::large_futures, clippy::large_stack_frames)]
        const _: () = {
            $crate::__private::inventory::submit! {
                $crate::__private::LinkedHandler {
                    keys: &[$($key)*],
                    name: ::core::concat!(::core::module_path!(), "::", $name),
                    file: ::core::file!(),
                    line: ::core::line!(),
                    docs: &[$($doc)*],
                    describe: __ploomby_describe,
                }
            }

            #[allow(unused_imports)]
            use $crate::__private::by_type::*;

            fn __ploomby_describe($about: &mut $crate::__private::Description) {
                $about.type_name = ::core::any::type_name_of_val(&$function);
                let __ploomby_return = $($return_type)*;
                // it knows no lifetimes, and so can be found out outside of the future
                let __ploomby_kind = (&&&&&__ploomby_return).__ploomby_kind();
                $about.reply = __ploomby_return.reply(__ploomby_kind);
                let $room = $crate::__private::Free;
                $($require)*
                let _ = $room;
                $about.run(move |$delivery| async move {
                    $($make)*
                    let __ploomby_returned = $($call)*;
                    let __ploomby_into_answer: fn(_, _, _) -> _ = $($into_answer)*;
                    __ploomby_into_answer(__ploomby_kind, __ploomby_returned, &$delivery)
                });
            }
        };
    };
}
