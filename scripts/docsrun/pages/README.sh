machine() { installed; started; people; }
